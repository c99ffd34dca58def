"""debugpy loads every module of this name on `sys.path`: this one lets it set breakpoints in stores."""

from archimport.testing.debugpy import find_files_in_stores

find_files_in_stores()
