"""Signing in, on django-allauth: its flows, with our limits, our words and our trail.

`adapters` is what allauth asks, `guessing` slows those down who guess, `factors` are second factors, `required` says
who must have one, `company` is single sign-on, `trail` tells the activity log.
"""
