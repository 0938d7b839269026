/** Stand-ins for the browser: nothing here sleeps or touches a network. */

import type { Platform } from "../src/platform.js";

/** Let everything that is ready run: promises, and what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Always the same numbers from 0 to below 1 for one seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Timer {
  at: number;
  callback: () => void;
}

/** Time that passes when a test says so. */
export class ManualClock {
  now = 1_700_000_000_000;
  readonly timers = new Set<Timer>();

  set(callback: () => void, delayMs: number): Timer {
    const timer = { at: this.now + delayMs, callback };
    this.timers.add(timer);
    return timer;
  }

  /** Pass `ms`, running what falls due, in order. */
  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.timers.delete(due);
      due.callback();
      await settle();
    }
    this.now = end;
  }

  /** How long until the next timer, in milliseconds. */
  get untilNext(): number {
    return Math.min(...[...this.timers].map(({ at }) => at)) - this.now;
  }
}

/** The client's end of a socket; the methods from `open` on play the server. */
export class FakeSocket {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: unknown[] = [];
  closedWith: number | null = null;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code: number): void {
    this.closedWith = code;
  }

  open(fields: object = {}): void {
    this.say({
      type: "open",
      client_id: "ann",
      id: "100-0",
      recovered: null,
      expires_at: null,
      ping_interval: 25,
      ...fields,
    });
  }

  message(id: string, data = `data of ${id}`): void {
    this.say({ id, data });
  }

  say(frame: unknown): void {
    this.raw(JSON.stringify(frame));
  }

  raw(data: unknown): void {
    this.onmessage?.({ data });
  }

  end(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

/** One request, to be answered by the test. */
export class FakeRequest {
  readonly headers: Headers;
  readonly aborted: Promise<void>;
  private resolve!: (response: Response) => void;
  private reject!: (error: Error) => void;
  private stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly response: Promise<Response>;

  constructor(
    readonly url: string,
    readonly init: RequestInit,
  ) {
    this.headers = new Headers(init.headers);
    this.response = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.aborted = new Promise((resolve) => {
      init.signal?.addEventListener("abort", () => {
        const error = new DOMException("aborted", "AbortError");
        this.reject(error);
        this.stream?.error(error);
        resolve();
      });
    });
  }

  get isAborted(): boolean {
    return this.init.signal?.aborted ?? false;
  }

  get json(): unknown {
    return JSON.parse(String(this.init.body));
  }

  async answer(status: number, body: unknown = null, headers: Record<string, string> = {}): Promise<void> {
    const text = body === null ? null : typeof body === "string" ? body : JSON.stringify(body);
    this.resolve(new Response(text, { status, headers }));
    await settle();
  }

  async fail(): Promise<void> {
    this.reject(new TypeError("Failed to fetch"));
    await settle();
  }

  /** Answer 200 with a body that comes in pieces. */
  async startStream(type = "text/event-stream"): Promise<void> {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.stream = controller;
      },
    });
    this.resolve(new Response(body, { headers: { "content-type": type } }));
    await settle();
  }

  async push(piece: string | Uint8Array): Promise<void> {
    this.stream?.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
    await settle();
  }

  async endStream(): Promise<void> {
    this.stream?.close();
    await settle();
  }

  async breakStream(): Promise<void> {
    this.stream?.error(new TypeError("network error"));
    await settle();
  }
}

export class MemoryStorage {
  readonly items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
}

type Grant = () => Promise<void>;

/** What the tabs of an origin share: Web Locks and BroadcastChannels. */
export class FakeOrigin {
  private readonly queues = new Map<string, Grant[]>();
  private readonly channels = new Map<
    string,
    Set<{ onmessage: ((event: { data: unknown }) => void) | null }>
  >();
  /** How many hold or await a lock. */
  get queued(): number {
    return [...this.queues.values()].reduce((sum, { length }) => sum + length, 0);
  }

  get listening(): number {
    return [...this.channels.values()].reduce((sum, { size }) => sum + size, 0);
  }

  readonly locks = {
    request: (name: string, { signal }: { signal: AbortSignal }, hold: Grant) =>
      new Promise<void>((resolve, reject) => {
        const queue = this.queues.get(name) ?? [];
        this.queues.set(name, queue);
        let isGranted = false;
        const grant = async () => {
          isGranted = true;
          await hold();
          queue.shift();
          resolve();
          void queue[0]?.();
        };
        signal.addEventListener("abort", () => {
          if (isGranted) return;
          queue.splice(queue.indexOf(grant), 1);
          reject(new DOMException("aborted", "AbortError"));
        });
        queue.push(grant);
        if (queue.length === 1) queueMicrotask(() => void grant());
      }),
  } as unknown as NonNullable<Platform["locks"]>;

  readonly BroadcastChannel = (() => {
    const { channels } = this;
    return class {
      onmessage: ((event: { data: unknown }) => void) | null = null;
      private readonly members: Set<{ onmessage: ((event: { data: unknown }) => void) | null }>;

      constructor(name: string) {
        this.members = channels.get(name) ?? new Set();
        channels.set(name, this.members);
        this.members.add(this);
      }

      postMessage(message: unknown): void {
        if (!this.members.has(this)) throw new DOMException("closed", "InvalidStateError");
        const data: unknown = structuredClone(message);
        for (const other of this.members) {
          if (other === this) continue;
          queueMicrotask(() => this.members.has(other) && other.onmessage?.({ data }));
        }
      }

      close(): void {
        this.members.delete(this);
      }
    };
  })() as unknown as NonNullable<Platform["BroadcastChannel"]>;
}

/** A whole browser, and the server at the other end of its connections. */
export class FakeBrowser {
  readonly clock = new ManualClock();
  readonly storage = new MemoryStorage();
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  /** Requests that only ask whether the server can be reached. */
  readonly knocks: FakeRequest[] = [];
  online = true;
  private readonly wakers = new Set<(online: boolean) => void>();
  readonly platform: Platform;

  /** With an `origin`, it is one of several tabs. */
  constructor(seed = 1, origin?: FakeOrigin) {
    const { sockets, requests, knocks, clock } = this;
    class Socket extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    }
    this.platform = {
      WebSocket: Socket as unknown as NonNullable<Platform["WebSocket"]>,
      fetch: ((url: string, init: RequestInit) => {
        const request = new FakeRequest(url, init);
        (init.method === "HEAD" ? knocks : requests).push(request);
        return request.response;
      }) as typeof fetch,
      setTimeout: (callback, delayMs) => clock.set(callback, delayMs),
      clearTimeout: (timer) => void clock.timers.delete(timer as Timer),
      now: () => clock.now,
      random: seededRandom(seed),
      origin: "https://app.example",
      storage: this.storage,
      locks: origin?.locks,
      BroadcastChannel: origin?.BroadcastChannel,
      isOnline: () => this.online,
      onWake: (callback) => {
        this.wakers.add(callback);
        return () => this.wakers.delete(callback);
      },
    };
  }

  /** The latest socket; throws when there is none. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  /** The latest request; throws when there is none. */
  get request(): FakeRequest {
    const request = this.requests.at(-1);
    if (!request) throw new Error("no request was made");
    return request;
  }

  /** Answer whoever asks whether the server can be reached, until now. */
  async answerKnocks(): Promise<void> {
    for (const knock of this.knocks.splice(0)) await knock.answer(200);
  }

  get listening(): number {
    return this.wakers.size;
  }

  async comeOnline(): Promise<void> {
    this.online = true;
    for (const waker of this.wakers) waker(true);
    await settle();
  }

  async becomeVisible(): Promise<void> {
    for (const waker of this.wakers) waker(false);
    await settle();
  }
}
