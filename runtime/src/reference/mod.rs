//! Every operation as plain safe loops, as the literature defines it: what the kernels are tested against.
