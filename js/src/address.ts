/** Where the server is. */

/** The page's own address, absent outside a browser. */
function pageUrl(): string | undefined {
  return typeof location === "undefined" ? undefined : location.href;
}

/** The origin of the script at `scriptUrl`, or the page's where that is no web address. */
export function scriptOrigin(scriptUrl: string | null | undefined): string {
  if (scriptUrl && /^https?:/.test(scriptUrl)) return new URL(scriptUrl).origin;
  const page = pageUrl();
  if (page) return new URL(page).origin;
  throw new TypeError("url is missing; outside a web page it must name the server");
}

/** `url` made absolute, `http:` or `https:`, without query, fragment and final slash. */
export function baseUrl(url: string | URL): string {
  const { protocol, host, pathname } = new URL(url, pageUrl());
  const scheme = protocol.replace(/^ws/, "http");
  if (!/^https?:$/.test(scheme)) throw new TypeError(`url is ${url}; it must begin with http: or https:`);
  return `${scheme}//${host}${pathname.replace(/\/+$/, "")}`;
}
