// A TCP proxy that misbehaves on command: one gate per client, so that each has faults of its own.

import { connect, createServer } from "node:net";

/** What can happen to a connection. */
export const FAULTS = {
  /** Both ends get a reset. */
  reset: (relay) => relay.end(reset),
  /** Both ends get an end of file, in the midst of whatever was on its way. */
  close: (relay) => relay.end((socket) => socket.destroySoon()),
  /** Nothing passes for a while; then everything does. */
  stall: (relay, { stallMs }) => relay.hold(stallMs),
  /** All bytes vanish, both ways, and nobody is told. */
  drop: (relay) => relay.silence(),
};

/** End a connection with a reset; Node fails to close one whose end it has begun to send. */
function reset(socket) {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** A fault for which too few bytes pass happens after so long all the same. */
const OVERDUE_MS = 1_000;

/** A port that leads to `serverPort`; `happened` is told the kind of each fault. */
export async function openGate(serverPort, happened) {
  const relays = new Set();
  const armed = [];
  const listener = createServer({ noDelay: true }, (client) => {
    const relay = new Relay(client, connect({ host: "127.0.0.1", port: serverPort, noDelay: true }), due);
    relays.add(relay);
    relay.ended.then(() => relays.delete(relay));
  });

  /** Whether a fault falls into the next `size` bytes: after how many of them, and which. */
  function due(upward, size) {
    const [fault] = armed;
    if (fault?.upward !== upward) return null;
    if (fault.afterBytes > size) {
      fault.afterBytes -= size;
      return null;
    }
    return { size: fault.afterBytes, strike: take() };
  }

  /** The first armed fault, as what it does to a relay. */
  function take() {
    const fault = armed.shift();
    watch();
    return (relay) => {
      happened(fault.kind);
      FAULTS[fault.kind](relay, fault);
    };
  }

  /** See to it that the first armed fault happens. */
  function watch() {
    const [fault] = armed;
    if (!fault) return;
    const timer = setTimeout(() => {
      if (armed[0] !== fault) return;
      const newest = [...relays].at(-1);
      if (newest) {
        take()(newest);
      } else {
        fault.afterBytes = 0; // nobody is connected: the next one is hit at once
        watch();
      }
    }, OVERDUE_MS);
    timer.unref();
  }

  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** How many faults have still to happen. */
    get armed() {
      return armed.length;
    },
    /** Have `{kind, upward, afterBytes, stallMs}` happen, after so many bytes more in its direction. */
    arm(fault) {
      if (armed.push({ ...fault }) === 1) watch();
    },
    stop() {
      armed.length = 0;
      for (const relay of relays) relay.end((socket) => socket.destroy());
      return new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** One connection through a gate. */
class Relay {
  #sockets;
  #due;
  #silent = false;
  #held = null;

  constructor(client, server, due) {
    this.#sockets = [client, server];
    this.#due = due;
    const ends = this.#sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    this.ended = Promise.all(ends);
    this.#pump(client, server, true);
    this.#pump(server, client, false);
  }

  /** End both sides. */
  end(how) {
    for (const socket of this.#sockets) how(socket);
  }

  /** Let nothing pass for a while. */
  hold(ms) {
    this.#held ??= [];
    setTimeout(() => this.#release(), ms);
  }

  /** Let nothing pass ever again; a client that gives up is all that is noticed. */
  silence() {
    this.#silent = true;
  }

  #pump(from, to, upward) {
    from.on("data", (data) => {
      let rest = data;
      for (let due = this.#due(upward, rest.length); due; due = this.#due(upward, rest.length)) {
        const passed = rest.subarray(0, due.size);
        this.#pass(() => to.write(passed));
        rest = rest.subarray(due.size);
        due.strike(this);
      }
      const left = rest;
      this.#pass(() => to.write(left));
    });
    from.on("end", () => this.#pass(() => to.end()));
    from.on("error", () => {}); // what follows is "close"
    from.on("close", () => {
      if (upward || !this.#silent) to.destroySoon();
    });
  }

  /** Do `action` now, or in its turn after a hold; not at all on a silent line. */
  #pass(action) {
    if (this.#silent) return;
    if (this.#held) this.#held.push(action);
    else action();
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const action of held) this.#pass(action);
  }
}
