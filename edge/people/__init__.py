"""name, password -> account: who may look and who may ask, with every change on the record."""
