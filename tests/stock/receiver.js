// A backend that takes webhooks, and keeps every request just as it came. Tests in other languages ask it over HTTP:
// `GET ?name=EVENT&channel=CHANNEL` answers the request with that event, once it has come.

import { EventEmitter, on } from 'node:events';
import { createServer } from 'node:http';
import { within } from './harness.js';

export class Receiver {
  static async start() {
    const receiver = new Receiver();
    await new Promise((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  constructor() {
    this.requests = [];
    this.arrivals = new EventEmitter();
    this.server = createServer(async (request, response) => {
      if (request.method === 'GET') return this.tell(request, response);
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      this.requests.push({ headers: request.headers, rawBody: Buffer.concat(chunks).toString() });
      response.end();
      return this.arrivals.emit('request');
    });
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}/webhooks`;
  }

  /** The request with that event, which may have come already. */
  find(name, channel) {
    const fits = ({ rawBody }) => JSON.parse(rawBody).events.some((event) => event.name === name && event.channel === channel);
    const search = async () => {
      const arrivals = on(this.arrivals, 'request');
      try {
        while (!this.requests.some(fits)) await arrivals.next();
      } finally {
        await arrivals.return();
      }
      return this.requests.find(fits);
    };
    return within(search(), `webhook ${name} of ${channel}`);
  }

  async tell(request, response) {
    const asked = new URL(request.url, this.url).searchParams;
    const found = await this.find(asked.get('name'), asked.get('channel')).catch((error) => ({ error: error.message }));
    response.end(JSON.stringify(found));
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
