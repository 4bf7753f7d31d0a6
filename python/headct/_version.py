"""The version of the package: that of the headct it belongs to (meson.build; tests/python holds the two together)."""
__version__ = "0.2.0"
