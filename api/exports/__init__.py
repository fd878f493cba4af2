"""Whole tables as files: CSV, NDJSON, Parquet, in constant memory and always in the same order.

datasets: what can be had. formats: how its cells are written. statements: the SQL. export: one snapshot, its state, its bytes.
parquet: the program that turns rows into Parquet. download: the answer over HTTP. ranges: what of it is asked for.
"""
