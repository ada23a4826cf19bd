"""Dates and times as South Africans write them, and a clock of 24 hours (`FORMAT_MODULE_PATH`)."""
