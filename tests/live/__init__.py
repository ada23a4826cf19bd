"""Calls of the real providers, by `make test-live` alone, with their keys in the environment. All of them only read.

A provider whose variables are not set is skipped and named (docs/clients.md, Live tests).
"""
