//! The `.npy` format: header in and out (spec: codecs §8). The reader takes untrusted bytes.
