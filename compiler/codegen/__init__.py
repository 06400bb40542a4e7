"""Lowering that targets share: recorded elementwise code, and steps that run on the host."""
