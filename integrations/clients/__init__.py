"""Clients of the providers' APIs: a few small functions for each, over the one door out.

sms = clickatell.send_sms(client, to="27820000000", text="…")

Each function takes the `Client` of its integration, returns plain typed results and raises ProviderError, whose words
tell the operator what to do. Whose tokens are used is none of its business: `Client` brings them along, handed in by
whoever makes it (`oauth.services.client_of`).
"""
