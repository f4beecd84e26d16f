// A load balancer in front of a kabar that restarts: while it is away, new connections wait instead of being refused.
// A refused one costs pusher-js 15 seconds, whatever the server.

import { createServer, connect } from 'node:net';

export class Gate {
  static async start(kabar) {
    const gate = new Gate(kabar);
    await new Promise((resolve) => gate.server.listen(0, '127.0.0.1', resolve));
    return gate;
  }

  constructor(kabar) {
    this.kabar = kabar;
    this.sockets = new Set();
    this.opened = Promise.resolve();
    this.server = createServer((socket) => this.opened.then(() => this.forward(socket)));
  }

  get port() {
    return this.server.address().port;
  }

  forward(socket) {
    const upstream = connect(this.kabar.port, this.kabar.host);
    for (const [from, to] of [[socket, upstream], [upstream, socket]]) {
      this.sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => { to.destroy(); this.sockets.delete(from); });
    }
  }

  /** Restarts kabar by `signal`; who comes meanwhile is served afterwards. */
  async restart(signal) {
    let open;
    this.opened = new Promise((resolve) => { open = resolve; });
    try {
      await this.kabar.restart(signal);
    } finally {
      open();
    }
  }

  async stop() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
