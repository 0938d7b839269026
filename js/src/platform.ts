/** The browser APIs that the client uses, as one object that tests can replace. */

export interface Platform {
  WebSocket: (new (url: string, protocols: string[]) => WebSocket) | undefined;
  fetch: typeof fetch | undefined;
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  /** Unix time in milliseconds. Unlike some monotonic clocks, it also runs while the machine sleeps. */
  now(): number;
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  random(): number;
  /** The page's origin; null outside a page. */
  origin: string | null;
  /** Per-tab storage, for the transport that worked. */
  storage: Pick<Storage, "getItem" | "setItem"> | null;
  /** `locks` and `BroadcastChannel` are both needed to share a connection between tabs. */
  locks: Pick<LockManager, "request"> | undefined;
  BroadcastChannel: (new (name: string) => BroadcastChannel) | undefined;
  /** False only if the browser is certain that there is no network. */
  isOnline(): boolean;
  /**
   * Call `callback` when the network is back (with true) and when the page becomes visible (with
   * false). Returns a function that unsubscribes.
   */
  onWake(callback: (online: boolean) => void): () => void;
}

/** Not only `globalThis`: some browsers that load the App Engine script do not have it. */
export const root = typeof self === "undefined" ? globalThis : self;

/** The platform of this browser, worker or Node process. Missing APIs are undefined or null. */
export function browserPlatform(): Platform {
  return {
    WebSocket: root.WebSocket,
    fetch: root.fetch?.bind(root),
    setTimeout: (callback, delayMs) => root.setTimeout(callback, delayMs),
    clearTimeout: (timer) => root.clearTimeout(timer as number),
    now: () => Date.now(),
    random: () => Math.random(),
    origin: root.location?.origin ?? null,
    storage: sessionStorageOrNull(),
    locks: root.navigator?.locks,
    BroadcastChannel: root.BroadcastChannel,
    isOnline: () => root.navigator?.onLine !== false,
    onWake(callback) {
      const onOnline = () => callback(true);
      const page = root.document as Document | undefined; // a worker has none
      const onVisible = () => {
        if (page?.visibilityState !== "hidden") callback(false);
      };
      const updateListeners = (method: "addEventListener" | "removeEventListener") => {
        root[method]?.("online", onOnline);
        root[method]?.("pageshow", onVisible); // restored from the back-forward cache
        page?.[method]("visibilitychange", onVisible);
      };
      updateListeners("addEventListener");
      return () => updateListeners("removeEventListener");
    },
  };
}

/** Reading `sessionStorage` throws if the page may not store anything. */
function sessionStorageOrNull(): Storage | null {
  try {
    return root.sessionStorage ?? null;
  } catch {
    return null;
  }
}
