"""The version of this package, defined only here; the build reads it without importing anything."""

VERSION = "0.1.0"
