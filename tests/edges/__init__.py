"""What Caffe's loops make of NaN, infinities, a negative zero, denormal and the largest numbers, layer by layer."""
