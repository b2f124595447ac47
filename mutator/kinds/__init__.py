"""The edit kinds that ship with codegraft: one file each, with the examples that are its tests and its documentation."""
