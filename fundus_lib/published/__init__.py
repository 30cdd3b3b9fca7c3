"""The tables of the five papers, digit by digit, and audits: identities that their numbers must obey.

Every table is a CSV beside this file, `PAPER_NUMBER.csv`; captions, units and quoted rows are in `PAPER_tables.json`,
and what the paper says of its tables is in `PAPER_claims.py`. What is printed is data; whether it can be true is
computed: each law is tested with exact intervals for the printed digits.
"""

from fundus_lib.published.audits import Check, audit, summary
from fundus_lib.published.cards import Card
from fundus_lib.published.claims import claims
from fundus_lib.published.digits import Interval, count_of, denominators, interval
from fundus_lib.published.inference import best_case_p, implied_spread, welch_p
from fundus_lib.published.laws import Law, aupr_band, region_ceiling, roc_floor
from fundus_lib.published.ledger import ledger
from fundus_lib.published.ledger_page import LedgerTable, ledger_summary, show_ledger
from fundus_lib.published.printed import PAPERS, TableInfo, cells, info, table, tables
from fundus_lib.published.show import SIGNS, Shown, Sign, overview, show

__all__ = [
    "PAPERS",
    "SIGNS",
    "Card",
    "Check",
    "Interval",
    "Law",
    "LedgerTable",
    "Shown",
    "Sign",
    "TableInfo",
    "audit",
    "aupr_band",
    "best_case_p",
    "cells",
    "claims",
    "count_of",
    "denominators",
    "implied_spread",
    "info",
    "interval",
    "ledger",
    "ledger_summary",
    "overview",
    "region_ceiling",
    "roc_floor",
    "show",
    "show_ledger",
    "summary",
    "table",
    "tables",
    "welch_p",
]
