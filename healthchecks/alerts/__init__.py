"""Alerts that arrive.

findings  what is amiss now, read from the database
alarms    what of that is new, what is over, and whom that concerns
telling   a message, and a delivery of it for each route, in one transaction
outbox    sending what is due; stamped only after a channel took it
channels  e-mail, SMS, and whatever apprise speaks
"""
