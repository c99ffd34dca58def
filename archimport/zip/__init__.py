"""Ordinary zip archives as stores: `format` parses, `store` reads, `writer` writes."""

from archimport.zip.store import ZipStore

__all__ = ["ZipStore"]
