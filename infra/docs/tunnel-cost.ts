/** What an hour of a tunnel costs by the platform's list prices; the table of networking.md. */
const gigabytes = 0.128;
const perMillionGigabyteSeconds = 12.5;
const perMillionRequests = 0.15;
/** Incoming WebSocket messages that count as one request. */
const messagesPerRequest = 20;
const framesPerMessage = 8;
const segmentBytes = 1460;

const awakeHour = (3600 * gigabytes * perMillionGigabyteSeconds) / 1e6;

/** Mbit/s in each direction; the guest acknowledges every second segment of what it downloads. */
function hour(downMbit: number, upMbit: number): number {
  const segments = (mbit: number): number => (mbit * 125_000) / segmentBytes;
  const frames = segments(downMbit) / 2 + segments(upMbit);
  const requests = (frames * 3600) / framesPerMessage / messagesPerRequest;
  return awakeHour + (requests * perMillionRequests) / 1e6;
}

/** A report every 15 s, stored every 5 minutes; two allowances asked every 30 s, and a row of storage for each answer. */
const perMillionRows = 1;
const reports = (240 * perMillionRequests + 12 * 2 * perMillionRows) / 1e6;
const loans = (2 * 120 * (perMillionRequests + perMillionRows)) / 1e6;

const rows: readonly (readonly [string, number])[] = [
  ["sleeps (no open connection)", 0],
  ["is awake and idle", awakeHour],
  ["downloads 1 Mbit/s", hour(1, 0)],
  ["downloads 10 Mbit/s", hour(10, 0)],
  ["reports and borrows besides", reports + loans],
];
for (const [what, dollars] of rows) console.log(`${what.padEnd(30)} $${dollars.toFixed(5)}`);
