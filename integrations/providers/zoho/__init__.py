"""Zoho: four products behind one authorisation server."""
