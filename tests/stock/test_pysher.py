"""Pysher, a Python client that speaks protocol 6 and signs for itself, as it comes from PyPI.

`stock.sh` runs it with KABAR_URL of a running kabar (serve.js).
"""

import json
import os
import queue
import unittest
from urllib.parse import urlsplit

import pusher
import pysher

DEADLINE_S = 10


class Pysher(unittest.TestCase):
    def setUp(self):
        url = urlsplit(os.environ["KABAR_URL"])
        self.key, self.secret = os.environ["KABAR_APP_KEY"], os.environ["KABAR_APP_SECRET"]
        self.host, self.port = url.hostname, url.port
        self.sdk = pusher.Pusher(
            app_id=os.environ["KABAR_APP_ID"], key=self.key, secret=self.secret,
            host=self.host, port=self.port, ssl=False,
        )

    def connected(self, user=None):
        member = {"user_id": user, "user_info": {"name": user}}
        client = pysher.Pusher(
            self.key, secret=self.secret, secure=False, custom_host=self.host, port=self.port, user_data=member
        )
        # Pysher pings as soon as the connection opens. That pong must not pass for a later one's.
        opened = [self.events(client.connection, f"pusher:{what}") for what in ["connection_established", "pong"]]
        # Its thread may miss that the socket was closed and look for data for another 100 s; it is a daemon.
        self.addCleanup(client.disconnect, 0)
        client.connect()
        for events in opened:
            events.get(timeout=DEADLINE_S)
        return client

    @staticmethod
    def events(target, name):
        """What comes under that name on a connection or channel, in order."""
        heard = queue.Queue()
        target.bind(name, heard.put)
        return heard

    def subscribed(self, client, name):
        channel = client.subscribe(name)
        # Pysher may hear the answer before one can bind to it; but a pong comes after it.
        pongs = self.events(client.connection, "pusher:pong")
        client.connection.send_event("pusher:ping", {})
        pongs.get(timeout=DEADLINE_S)
        return channel

    def heard(self, events):
        return json.loads(events.get(timeout=DEADLINE_S))

    def test_public_and_private_channels_deliver(self):
        client = self.connected()
        for name in ["pysher-news", "private-pysher"]:
            said = self.events(self.subscribed(client, name), "said")
            self.sdk.trigger(name, "said", {"text": "héllo"})
            self.assertEqual(self.heard(said), {"text": "héllo"})

    def test_presence_and_client_events_go_both_ways(self):
        one, two = self.connected("u1"), self.connected("u2")
        mine = self.subscribed(one, "presence-pysher")
        added, removed = (self.events(mine, f"pusher_internal:member_{what}") for what in ["added", "removed"])
        theirs = self.subscribed(two, "presence-pysher")
        self.assertEqual(self.heard(added), {"user_id": "u2", "user_info": {"name": "u2"}})
        for speaker, hearer in [(mine, theirs), (theirs, mine)]:
            waved = self.events(hearer, "client-wave")
            speaker.trigger("client-wave", {"hand": "left"})
            self.assertEqual(self.heard(waved), {"hand": "left"})
        two.unsubscribe("presence-pysher")
        self.assertEqual(self.heard(removed), {"user_id": "u2"})


if __name__ == "__main__":
    unittest.main()
