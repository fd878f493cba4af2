"""Answers: analytics over HTTP."""
