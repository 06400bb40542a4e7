"""The version of this package, stated here alone; the build reads it without importing anything."""

VERSION = "0.1.0"
