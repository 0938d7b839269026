// A TCP proxy that injects faults. Each client has a proxy of its own, and so faults of its own.

import { connect, createServer } from "node:net";

/** What a fault does to a connection. */
const FAULTS = {
  /** Both ends receive a reset. */
  reset: (connection) => connection.end(reset),
  /** Both ends receive an end of file, at any point of the data. */
  close: (connection) => connection.end((socket) => socket.destroySoon()),
  /** Nothing passes for a while; then everything does. */
  stall: (connection, { stallMs }) => connection.hold(stallMs),
  /** All bytes are discarded in both directions without notice. */
  drop: (connection) => connection.silence(),
};

/** Resets a socket. Node cannot reset one after `end()`. */
function reset(socket) {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** A fault happens after this time even if too few bytes pass. */
const OVERDUE_MS = 1_000;

/** Starts a proxy for `serverPort`. `onFault` is called with the kind of each fault when it happens. */
export async function startFaultProxy(serverPort, onFault) {
  const connections = new Set();
  const faults = [];
  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ host: "127.0.0.1", port: serverPort, noDelay: true });
    const connection = new ProxiedConnection(client, server, takeDue);
    connections.add(connection);
    connection.ended.then(() => connections.delete(connection));
  });

  /** If a fault is due within the next `size` bytes, returns after how many of them, and the fault. */
  function takeDue(upstream, size) {
    const [fault] = faults;
    if (fault?.upstream !== upstream) return null;
    if (fault.afterBytes > size) {
      fault.afterBytes -= size;
      return null;
    }
    return { size: fault.afterBytes, apply: take() };
  }

  /** Removes the first fault; returns a function that applies it to a connection. */
  function take() {
    const fault = faults.shift();
    startTimer();
    return (connection) => {
      onFault(fault.kind);
      FAULTS[fault.kind](connection, fault);
    };
  }

  /** Starts the timer after which the first fault is overdue. */
  function startTimer() {
    const [fault] = faults;
    if (!fault) return;
    const timer = setTimeout(() => {
      if (faults[0] !== fault) return;
      const newest = [...connections].at(-1);
      if (newest) {
        take()(newest);
      } else {
        fault.afterBytes = 0; // nobody is connected: the fault hits the next connection at once
        startTimer();
      }
    }, OVERDUE_MS);
    timer.unref();
  }

  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** Makes `{kind, upstream, afterBytes, stallMs}` happen after that many more bytes in its direction. */
    inject(fault) {
      if (faults.push({ ...fault }) === 1) startTimer();
    },
    stop() {
      faults.length = 0;
      for (const connection of connections) connection.end((socket) => socket.destroy());
      return new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** One connection through the proxy. */
class ProxiedConnection {
  #sockets;
  #takeDue;
  #silent = false;
  #held = null;

  constructor(client, server, takeDue) {
    this.#sockets = [client, server];
    this.#takeDue = takeDue;
    const closed = this.#sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    this.ended = Promise.all(closed);
    this.#relay(client, server, true);
    this.#relay(server, client, false);
  }

  /** Ends both sides with `how(socket)`. */
  end(how) {
    for (const socket of this.#sockets) how(socket);
  }

  /** Lets nothing pass for `ms` milliseconds. */
  hold(ms) {
    this.#held ??= [];
    setTimeout(() => this.#release(), ms);
  }

  /** Lets nothing pass from now on. Only a close by the client ends the server's side. */
  silence() {
    this.#silent = true;
  }

  #relay(from, to, upstream) {
    from.on("data", (data) => {
      let rest = data;
      let due = this.#takeDue(upstream, rest.length);
      while (due) {
        const passed = rest.subarray(0, due.size);
        this.#forward(() => to.write(passed));
        rest = rest.subarray(due.size);
        due.apply(this);
        due = this.#takeDue(upstream, rest.length);
      }
      const remaining = rest;
      this.#forward(() => to.write(remaining));
    });
    from.on("end", () => this.#forward(() => to.end()));
    from.on("error", () => {}); // "close" follows
    from.on("close", () => {
      if (upstream || !this.#silent) to.destroySoon();
    });
  }

  /** Calls `action` now, or in order after a hold, or never if the connection is silent. */
  #forward(action) {
    if (this.#silent) return;
    if (this.#held) this.#held.push(action);
    else action();
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const action of held) this.#forward(action);
  }
}
