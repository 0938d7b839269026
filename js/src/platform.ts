/** What the client takes from its surroundings, as one value that tests replace. */

export interface Platform {
  WebSocket: (new (url: string, protocols: string[]) => WebSocket) | undefined;
  fetch: typeof fetch | undefined;
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  /** Milliseconds of the Unix clock. It runs on while the machine sleeps, which a monotonic one may not. */
  now(): number;
  /** From 0 to below 1. */
  random(): number;
  /** The page's; null where it has none. */
  origin: string | null;
  /** Remembers, for this tab, which transport worked. */
  storage: Pick<Storage, "getItem" | "setItem"> | null;
  /** Both are needed to share a connection among tabs. */
  locks: Pick<LockManager, "request"> | undefined;
  BroadcastChannel: (new (name: string) => BroadcastChannel) | undefined;
  /** False only where the browser is sure to have no network. */
  isOnline(): boolean;
  /**
   * Calls back when the network came back (`true`) or the page became visible (`false`); returns
   * what ends that.
   */
  onWake(callback: (online: boolean) => void): () => void;
}

/** Not `globalThis` alone: the App Engine script runs in browsers that do not have it. */
const root = typeof self === "undefined" ? globalThis : self;

/** The browser's own; parts that it lacks are absent. Fits workers and Node too. */
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
      const online = () => callback(true);
      const page = typeof document === "undefined" ? null : document;
      const visible = () => {
        if (page?.visibilityState !== "hidden") callback(false);
      };
      const listen = (verb: "addEventListener" | "removeEventListener") => {
        root[verb]?.("online", online);
        root[verb]?.("pageshow", visible); // back from the back-forward cache
        page?.[verb]("visibilitychange", visible);
      };
      listen("addEventListener");
      return () => listen("removeEventListener");
    },
  };
}

/** Reading the property throws where the page may not store anything. */
function sessionStorageOrNull(): Storage | null {
  try {
    return root.sessionStorage ?? null;
  } catch {
    return null;
  }
}
