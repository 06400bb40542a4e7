/* The way in for cortado's runtime, which compiled this: see struct call. Returns 0 if there is not enough memory. */
__attribute__((visibility("default"))) int net_run(const struct call *call) { return run_steps(call); }
