"""`config.toml` to typed settings, every error at once."""
