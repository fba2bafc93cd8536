"""Simulates the software two journal versions later, if imported before `edge.records.journal`.

The next version adds the bundle of a verdict and the remedy of an event, the one after it the reason why a late result
was late.
"""

import sys
from dataclasses import replace
from operator import attrgetter

from edge.records import tables
from edge.records.tables import Column, Index

assert "edge.records.journal" not in sys.modules, "it has taken the tables of today already"

LATER = {
    "verdicts": (Column("bundle", "TEXT", attrgetter("bundle"), since=tables.VERSION + 1),),
    "events": (Column("remedy", "TEXT", since=tables.VERSION + 1),),
    "late_results": (Column("found", "TEXT", since=tables.VERSION + 2),),
}

for _table in tables.TABLES:
    if (_added := LATER.get(_table.name)) is not None:
        _indices = (*_table.indices, Index(f"{_table.name}_later", _added[0].name, since=_added[0].since))
        _later = replace(_table, columns=(*_table.columns, *_added), indices=_indices)
        setattr(tables, _table.name.upper(), _later)
tables.TABLES = tuple(getattr(tables, table.name.upper()) for table in tables.TABLES)
tables.VERSION += 2
