"""Which calls belong together: one row a call SID (aliases included), derived like the rest, and the lock of its group.

`group_id` ties all SIDs that were ever linked: the unit that is locked and refolded. `journey_id` is where the SID's
journey stands now; `own_id` is the address that this SID alone would have, and stays valid for ever.
"""

from __future__ import annotations

import sqlalchemy as sa

from projections.shape import key, metadata, text

TABLE = sa.Table(
    "call_index", metadata, key("tenant"), key("call_sid"), text("own_id", required=True), text("group_id", required=True),
    text("journey_id"), sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index(None, "tenant", "own_id"), sa.Index(None, "tenant", "group_id"), sa.Index(None, "tenant", "journey_id"),
)  # fmt: skip
