"""Native plans with mistakes in them: each has to be refused, or to run inside its memory."""
