"""The record beside every output, the digest of the code, and what scripts share."""
