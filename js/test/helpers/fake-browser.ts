/** A browser, its storage, and the origin that its tabs share. */

import type { Platform } from "../../src/platform.js";
import { FakeRequest, FakeSocket } from "./fake-network.js";
import { ManualClock, seededRandom, settle, type Timer } from "./manual-clock.js";

export class MemoryStorage {
  readonly items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
}

type LockCallback = () => Promise<void>;

/** The Web Locks and BroadcastChannels that the tabs of an origin share. */
export class FakeOrigin {
  private readonly queues = new Map<string, LockCallback[]>();
  private readonly channels = new Map<
    string,
    Set<{ onmessage: ((event: { data: unknown }) => void) | null }>
  >();
  /** How many lock requests are granted or waiting. */
  get queued(): number {
    return [...this.queues.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** How many BroadcastChannels are open. */
  get listening(): number {
    return [...this.channels.values()].reduce((sum, { size }) => sum + size, 0);
  }

  readonly locks = {
    request: (name: string, { signal }: { signal: AbortSignal }, hold: LockCallback) =>
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

/** A browser platform; its sockets and requests are answered by the test. */
export class FakeBrowser {
  readonly clock = new ManualClock();
  readonly storage = new MemoryStorage();
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  /** HEAD requests, which are reachability probes. */
  readonly probes: FakeRequest[] = [];
  online = true;
  private readonly wakeCallbacks = new Set<(online: boolean) => void>();
  readonly platform: Platform;

  /** With an `origin`, the browser is one of several tabs. */
  constructor(seed = 1, origin?: FakeOrigin) {
    const { sockets, requests, probes, clock } = this;
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
        (init.method === "HEAD" ? probes : requests).push(request);
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
        this.wakeCallbacks.add(callback);
        return () => this.wakeCallbacks.delete(callback);
      },
    };
  }

  /** The newest socket. Throws if there is none. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  /** The newest request that is not a probe. Throws if there is none. */
  get request(): FakeRequest {
    const request = this.requests.at(-1);
    if (!request) throw new Error("no request was made");
    return request;
  }

  /** Answer all probes so far. */
  async answerProbes(): Promise<void> {
    for (const probe of this.probes.splice(0)) await probe.answer(200);
  }

  /** How many `onWake` callbacks are registered. */
  get listening(): number {
    return this.wakeCallbacks.size;
  }

  async goOnline(): Promise<void> {
    this.online = true;
    for (const callback of this.wakeCallbacks) callback(true);
    await settle();
  }

  async becomeVisible(): Promise<void> {
    for (const callback of this.wakeCallbacks) callback(false);
    await settle();
  }
}
