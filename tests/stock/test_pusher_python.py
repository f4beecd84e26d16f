"""The Python SDK as it comes from PyPI: publishing, asking and signing, heard by a stock client; webhooks.

`stock.sh` runs it with KABAR_URL of a running kabar (serve.js).
"""

import json
import os
import subprocess
import unittest
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pusher


class PythonSdk(unittest.TestCase):
    def setUp(self):
        url = urlsplit(os.environ["KABAR_URL"])
        self.sdk = self.client(url, os.environ["KABAR_APP_SECRET"])
        self.forged = self.client(url, "guessed")

    @staticmethod
    def client(url, secret):
        app_id, key = os.environ["KABAR_APP_ID"], os.environ["KABAR_APP_KEY"]
        return pusher.Pusher(app_id=app_id, key=key, secret=secret, host=url.hostname, port=url.port, ssl=False)

    def listener(self, channel, auth=None):
        """A pusher-js client in a process of its own: prints its socket id, `subscribed`, then each event."""
        here = os.path.dirname(os.path.abspath(__file__))
        process = subprocess.Popen(
            ["node", "listen.js", channel], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.addCleanup(process.stdin.close)
        socket_id = self.line(process)
        process.stdin.write(json.dumps(auth(socket_id) if auth else None) + "\n")
        process.stdin.flush()
        self.assertEqual(self.line(process), "subscribed")
        return process

    def line(self, process):
        # listen.js has a deadline of its own and ends without a word, so this cannot wait for ever.
        text = process.stdout.readline()
        self.assertTrue(text, "the listener ended")
        return json.loads(text)

    def test_a_trigger_is_heard(self):
        listener = self.listener("python-news")
        self.assertEqual(self.sdk.trigger("python-news", "said", {"text": "héllo"}), {})
        self.assertEqual(self.line(listener), {"event": "said", "data": {"text": "héllo"}})

    def test_a_batch_is_heard_in_order(self):
        listener = self.listener("python-batch")
        batch = [{"channel": "python-batch", "name": f"n{n}", "data": {"n": n}} for n in range(3)]
        self.assertEqual(self.sdk.trigger_batch(batch), {})
        self.assertEqual([self.line(listener)["data"]["n"] for _ in range(3)], [0, 1, 2])

    def test_what_it_signs_opens_a_private_channel(self):
        listener = self.listener(
            "private-python", lambda socket_id: self.sdk.authenticate(channel="private-python", socket_id=socket_id)
        )
        self.sdk.trigger("private-python", "said", {"n": 1})
        self.assertEqual(self.line(listener)["data"], {"n": 1})

    def test_what_it_signs_opens_a_presence_channel(self):
        member = {"user_id": "u1", "user_info": {"name": "U"}}
        listener = self.listener(
            "presence-python", lambda socket_id: self.sdk.authenticate("presence-python", socket_id, member)
        )
        self.sdk.trigger(["presence-python"], "said", "text")
        self.assertEqual(self.line(listener)["data"], "text")

    def presence(self, channel, user):
        return self.listener(channel, lambda socket_id: self.sdk.authenticate(channel, socket_id, {"user_id": user}))

    def test_channels_are_listed_with_their_users(self):
        self.presence("presence-python-1", "u1")
        self.presence("presence-python-1", "u2")
        self.presence("presence-python-2", "u1")
        listed = self.sdk.channels_info(prefix_filter="presence-python-", attributes=["user_count"])
        counts = {"presence-python-1": {"user_count": 2}, "presence-python-2": {"user_count": 1}}
        self.assertEqual(listed, {"channels": counts})
        asked = self.sdk.channel_info("presence-python-1", ["user_count", "subscription_count"])
        self.assertEqual(asked, {"occupied": True, "user_count": 2, "subscription_count": 2})
        users = self.sdk.users_info("presence-python-1")["users"]
        self.assertEqual(sorted(user["id"] for user in users), ["u1", "u2"])
        with self.assertRaises(pusher.errors.PusherBadRequest):
            self.sdk.users_info("python-news")

    def test_a_user_is_sent_to_and_terminated(self):
        listener = self.listener(
            "#server-to-user-u7", lambda socket_id: self.sdk.authenticate_user(socket_id, {"id": "u7"})
        )
        self.assertEqual(self.sdk.send_to_user("u7", "said", {"n": 1}), {})
        self.assertEqual(self.line(listener), {"event": "said", "data": {"n": 1}})
        self.assertEqual(self.sdk.terminate_user_connections("u7"), {})
        self.assertEqual(self.line(listener), {"closed": 4009})

    def test_a_webhook_is_taken_as_signed(self):
        self.listener("python-hooked")
        query = urlencode({"name": "channel_occupied", "channel": "python-hooked"})
        with urlopen(f"{os.environ['KABAR_WEBHOOKS']}?{query}", timeout=20) as answer:
            request = json.load(answer)
        key, signature = request["headers"]["x-pusher-key"], request["headers"]["x-pusher-signature"]
        told = self.sdk.validate_webhook(key, signature, request["rawBody"])
        self.assertEqual(told["events"], [{"name": "channel_occupied", "channel": "python-hooked"}])
        self.assertIsNone(self.sdk.validate_webhook(key, signature, request["rawBody"] + " "))
        self.assertIsNone(self.forged.validate_webhook(key, signature, request["rawBody"]))

    def test_a_wrong_secret_is_refused(self):
        with self.assertRaises(pusher.errors.PusherBadAuth):
            self.forged.trigger("python-news", "said", {})


if __name__ == "__main__":
    unittest.main()
