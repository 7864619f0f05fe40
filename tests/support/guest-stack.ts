import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import type { Services } from "../../durable-objects/net/service.ts";
import type {
  Endpoint,
  FlowId,
  FlowTarget,
  QueryId,
  StackConfig,
  World,
} from "../../durable-objects/net/world.ts";

/** A world that writes down what the stack asks of it. */
export class NotedWorld implements World {
  readonly frames: Uint8Array[] = [];
  readonly events: string[] = [];
  readonly dials: { flow: FlowId; target: FlowTarget }[] = [];
  readonly sent = new Map<FlowId, Uint8Array[]>();
  transmit(frame: Uint8Array): void {
    this.frames.push(frame);
  }
  dial(flow: FlowId, target: FlowTarget): void {
    this.dials.push({ flow, target });
    this.events.push(`dial ${flow} ${target.address}:${target.port}`);
  }
  send(flow: FlowId, bytes: Uint8Array): void {
    this.sent.set(flow, [...(this.sent.get(flow) ?? []), bytes.slice()]);
    this.events.push(`send ${flow} ${bytes.length}`);
  }
  finish(flow: FlowId): void {
    this.events.push(`finish ${flow}`);
  }
  closed(flow: FlowId, why: string): void {
    this.events.push(`closed ${flow} ${why}`);
  }
  roomy(flow: FlowId): void {
    this.events.push(`roomy ${flow}`);
  }
  opened(flow: FlowId): void {
    this.events.push(`opened ${flow}`);
  }
  resolve(query: QueryId): void {
    this.events.push(`resolve ${query}`);
  }
  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    this.events.push(`datagram ${from.address}:${from.port} ${to.address}:${to.port} ${payload.length}`);
  }
  unheard(from: Endpoint, to: Endpoint): void {
    this.events.push(`unheard ${from.address}:${from.port} ${to.address}:${to.port}`);
  }
  /** Everything noted since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }
  received(flow: FlowId): Buffer {
    return Buffer.concat(this.sent.get(flow) ?? []);
  }
}

export const testConfig = (changes: Partial<StackConfig> = {}): StackConfig => ({
  ...lanDefaults,
  secret: new Uint8Array(32).fill(7),
  epochMs: 1_700_000_000_000,
  ...changes,
});

export function testStack(
  changes: Partial<StackConfig> = {},
  services: Services = {},
): { world: NotedWorld; stack: Stack } {
  const world = new NotedWorld();
  return { world, stack: new Stack(testConfig(changes), services, world) };
}
