// Verification of what pages received: every message for them exactly once and in order, or a
// report of a gap that covers exactly what is missing.

import { sortable } from "./message_id.mjs";

/**
 * Verifies the recorded events of pages. `pages` are `{client, name, position, events}`, with the ID
 * after which messages are expected in `position`. `sent` are the messages of a publisher. `crashes` are
 * IDs between two processes of the server each. Returns a row for each page, and the violations as lines.
 */
export function verify(pages, sent, crashes) {
  const accepted = new Map(); // ID to message
  for (const message of sent.values()) if (message.acceptedId) accepted.set(message.acceptedId, message);
  for (const { id, data } of pages.flatMap(({ events }) => messagesIn(events))) {
    const message = sent.get(data.split(" ", 1)[0]);
    if (message && !accepted.has(sortable(id))) accepted.set(sortable(id), message);
  }
  const violations = [];
  const copies = new Map();
  for (const { key } of accepted.values()) copies.set(key, (copies.get(key) ?? 0) + 1);
  for (const [key, count] of copies) {
    if (count > sent.get(key).epochs.size) violations.push(`message ${key} was accepted ${count} times`);
  }
  const ids = [...accepted.keys()].sort();
  const rows = pages.map((page) => verifyPage(page, ids, accepted, crashes.map(sortable), violations));
  return { rows, violations };
}

function verifyPage({ client, name, position, events }, ids, accepted, crashes, violations) {
  const expected = ids.filter((id) => id > sortable(position) && accepted.get(id).recipients.has(client));
  const received = messagesIn(events).map(({ id, data }) => ({ id: sortable(id), data }));
  const receivedIds = new Set(received.map(({ id }) => id));
  const gaps = events
    .filter(({ type }) => type === "gap")
    .map(({ after, before }) => ({ after: sortable(after ?? "0-0"), before: sortable(before) }));
  const covers = ({ after, before }, id) => after < id && id <= before;
  const row = {
    page: name,
    expected: expected.length,
    received: received.length,
    reportedLosses: 0,
    silentLosses: 0,
    duplicates: received.length - receivedIds.size,
    outOfOrder: received.filter(({ id }, index) => index > 0 && id < received[index - 1].id).length,
    connections: events.filter(({ type }) => type === "open").length,
    gaps: gaps.length,
    transport: events.findLast(({ type }) => type === "open")?.transport,
  };
  const addViolation = (text) => violations.push(`${name}: ${text}`);
  for (const id of expected) {
    if (receivedIds.has(id)) continue;
    if (gaps.some((gap) => covers(gap, id))) row.reportedLosses += 1;
    else {
      row.silentLosses += 1;
      addViolation(`message ${accepted.get(id).key} (${id}) is missing, and no gap was reported`);
    }
  }
  if (row.duplicates) addViolation(`${row.duplicates} messages were received twice`);
  if (row.outOfOrder) addViolation(`${row.outOfOrder} messages were received after a later one`);
  const expectedIds = new Set(expected);
  for (const { id, data } of received) {
    if (!expectedIds.has(id)) addViolation(`message ${data.slice(0, 20)} (${id}) is not for this page`);
    else if (accepted.get(id).data !== data) addViolation(`message ${accepted.get(id).key} has other data`);
  }
  for (const gap of gaps) {
    const text = `the gap from ${gap.after} to ${gap.before}`;
    if (received.some(({ id }) => id < gap.before && covers(gap, id)))
      addViolation(`${text} covers a received message`);
    if (!crashes.some((crash) => covers(gap, crash))) addViolation(`${text} has no cause`);
  }
  for (const crash of crashes) {
    const reports = gaps.filter((gap) => covers(gap, crash)).length;
    if (reports !== 1) addViolation(`the crash at ${crash} was reported ${reports} times`);
  }
  return row;
}

function messagesIn(events) {
  return events.filter(({ type }) => type === "message");
}
