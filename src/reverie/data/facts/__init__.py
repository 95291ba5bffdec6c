"""Files of facts and nodes → rows. Read ``contract.py`` first, then ``registry.py`` and one reader."""
