/*
 * A guest for v86 that needs no system: a driver of the NE2000 (DP8390D datasheet, by programmed I/O at 0x300), DHCP
 * (RFC 2131), ARP, ICMP echo, and one TCP connection (RFC 9293) that asks for a file by HTTP. It says on COM1 what it got.
 * Freestanding, 32 bits, one flat segment. Polls the card; what is not answered is said again. In-order segments only, and
 * a window that the card's ring of 13 KiB holds.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;

enum { NIC = 0x300, COM1 = 0x3f8, TX_PAGE = 0x40, RX_PAGE = 0x4c, STOP_PAGE = 0x80, WINDOW = 4380, OUR_PORT = 40000 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* Where the host of the test leaves the server's address and port, and their order is the network's. */
static const u8 *const server = (const u8 *)0x9000;

static u8 mac[6], address[4], gateway[4], gateway_mac[6];
static u8 in[2048], out[2048];
static u8 next_page = RX_PAGE;

static void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static u8 inb(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
void *memcpy(void *to, const void *from, u32 count) {
  for (u32 at = 0; at < count; at++) ((u8 *)to)[at] = ((const u8 *)from)[at];
  return to;
}
void *memset(void *to, int value, u32 count) {
  for (u32 at = 0; at < count; at++) ((u8 *)to)[at] = (u8)value;
  return to;
}
static int same(const u8 *one, const u8 *other, u32 count) {
  for (u32 at = 0; at < count; at++)
    if (one[at] != other[at]) return 0;
  return 1;
}
static void put16(u8 *at, u32 value) { at[0] = value >> 8, at[1] = value; }
static void put32(u8 *at, u32 value) { put16(at, value >> 16), put16(at + 2, value); }
static u32 get16(const u8 *at) { return at[0] << 8 | at[1]; }
static u32 get32(const u8 *at) { return get16(at) << 16 | get16(at + 2); }

static void say(const char *text) {
  while (*text) outb(COM1, *text++);
}
static void say_number(u32 value, u32 base) {
  if (value >= base) say_number(value / base, base);
  outb(COM1, "0123456789abcdef"[value % base]);
}
static void say_address(const u8 *ip) {
  for (u32 at = 0; at < 4; at++) {
    say(at ? "." : " ");
    say_number(ip[at], 10);
  }
}

/* The card. */

static void remote(u32 from, u32 count, u8 command) {
  outb(NIC + 8, from), outb(NIC + 9, from >> 8);
  outb(NIC + 10, count), outb(NIC + 11, count >> 8);
  outb(NIC, command);
}
static void start_card(void) {
  outb(NIC, 0x21);
  outb(NIC + 14, 0x48);
  remote(0, 12, 0x0a);
  for (u32 at = 0; at < 6; at++) mac[at] = inb(NIC + 16), inb(NIC + 16);
  outb(NIC + 12, 0x04), outb(NIC + 13, 0);
  outb(NIC + 1, RX_PAGE), outb(NIC + 2, STOP_PAGE), outb(NIC + 3, STOP_PAGE - 1), outb(NIC + 15, 0);
  outb(NIC, 0x61);
  for (u32 at = 0; at < 6; at++) outb(NIC + 1 + at, mac[at]);
  outb(NIC + 7, RX_PAGE);
  outb(NIC, 0x22);
}
static void transmit(u32 length) {
  if (length < 60) memset(out + length, 0, 60 - length), length = 60;
  remote(TX_PAGE << 8, length, 0x12);
  for (u32 at = 0; at < length; at++) outb(NIC + 16, out[at]);
  outb(NIC + 4, TX_PAGE), outb(NIC + 5, length), outb(NIC + 6, length >> 8);
  outb(NIC, 0x26);
}
/* The next frame in `in`, or 0. */
static u32 receive(void) {
  outb(NIC, 0x62);
  u8 current = inb(NIC + 7);
  outb(NIC, 0x22);
  if (current == next_page) return 0;
  u8 head[4];
  remote(next_page << 8, 4, 0x0a);
  for (u32 at = 0; at < 4; at++) head[at] = inb(NIC + 16);
  u32 length = (head[2] | head[3] << 8) - 4;
  if (length > sizeof in) length = sizeof in;
  remote((next_page << 8) + 4, length, 0x0a);
  for (u32 at = 0; at < length; at++) in[at] = inb(NIC + 16);
  next_page = head[1];
  outb(NIC + 3, next_page == RX_PAGE ? STOP_PAGE - 1 : next_page - 1);
  return length;
}

/* Frames. */

static u32 sum(const u8 *at, u32 count, u32 total) {
  for (; count > 1; at += 2, count -= 2) total += get16(at);
  return count ? total + (*at << 8) : total;
}
static u32 checksum(u32 total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}
static void ethernet(const u8 *to, u32 type) {
  memcpy(out, to, 6), memcpy(out + 6, mac, 6), put16(out + 12, type);
}
static void ip(u32 protocol, const u8 *from, const u8 *to, u32 payload) {
  static u16 id;
  u8 *head = out + 14;
  memset(head, 0, 20);
  head[0] = 0x45, head[8] = 64, head[9] = protocol;
  put16(head + 2, 20 + payload), put16(head + 4, ++id);
  memcpy(head + 12, from, 4), memcpy(head + 16, to, 4);
  put16(head + 10, checksum(sum(head, 20, 0)));
  transmit(34 + payload);
}
static const u8 everybody[6] = {255, 255, 255, 255, 255, 255}, nobody[4];

static void answer_arp(u32 length) {
  if (length < 42 || get16(in + 12) != 0x0806 || get16(in + 20) != 1 || !same(in + 38, address, 4)) return;
  ethernet(in + 22, 0x0806);
  memcpy(out + 14, in + 14, 6), put16(out + 20, 2);
  memcpy(out + 22, mac, 6), memcpy(out + 28, address, 4), memcpy(out + 32, in + 22, 10);
  transmit(42);
}
/* Waits for a frame that `fits`; says what is to be said every now and then until it comes. */
static u32 ask(void (*speak)(void), int (*fits)(u32 length)) {
  for (;;) {
    speak();
    for (u32 idle = 0; idle < 300000; idle++) {
      u32 length = receive();
      if (!length) continue;
      if (fits(length)) return length;
      answer_arp(length);
    }
  }
}

/* DHCP. */

static u8 dhcp_type, server_id[4], offered[4];

static void speak_dhcp(void) {
  u8 *udp = out + 34, *bootp = out + 42, *option = bootp + 240;
  memset(udp, 0, 8 + 300);
  bootp[0] = 1, bootp[1] = 1, bootp[2] = 6, put32(bootp + 4, 0x76383600), memcpy(bootp + 28, mac, 6);
  put32(bootp + 236, 0x63825363);
  *option++ = 53, *option++ = 1, *option++ = dhcp_type;
  if (dhcp_type == 3) {
    *option++ = 50, *option++ = 4, memcpy(option, offered, 4), option += 4;
    *option++ = 54, *option++ = 4, memcpy(option, server_id, 4), option += 4;
  }
  *option++ = 55, *option++ = 2, *option++ = 1, *option++ = 3, *option = 255;
  put16(udp, 68), put16(udp + 2, 67), put16(udp + 4, 308);
  ethernet(everybody, 0x0800);
  ip(17, nobody, everybody, 308);
}
static const u8 *option(u32 length, u8 wanted) {
  for (u32 at = 42 + 240; at + 1 < length && in[at] != 255; at += in[at] ? 2 + in[at + 1] : 1)
    if (in[at] == wanted && at + 2 + in[at + 1] <= length) return in + at + 2;
  return 0;
}
static int fits_dhcp(u32 length) {
  const u8 *type = 0;
  if (length >= 290 && get16(in + 12) == 0x0800 && in[23] == 17 && get16(in + 36) == 68) type = option(length, 53);
  return type && *type == (dhcp_type == 1 ? 2 : 5) && get32(in + 46) == 0x76383600 && option(length, 54) != 0;
}
static void lease(void) {
  dhcp_type = 1;
  u32 length = ask(speak_dhcp, fits_dhcp);
  memcpy(offered, in + 58, 4), memcpy(server_id, option(length, 54), 4);
  dhcp_type = 3;
  length = ask(speak_dhcp, fits_dhcp);
  memcpy(address, in + 58, 4);
  const u8 *router = option(length, 3);
  if (router) memcpy(gateway, router, 4);
  say("lease"), say_address(address), say_address(gateway), say("\n");
}

/* ARP and ICMP echo. */

static void speak_arp(void) {
  static const u8 head[8] = {0, 1, 8, 0, 6, 4, 0, 1};
  ethernet(everybody, 0x0806);
  memcpy(out + 14, head, 8), memcpy(out + 22, mac, 6), memcpy(out + 28, address, 4);
  memset(out + 32, 0, 6), memcpy(out + 38, gateway, 4);
  transmit(42);
}
static int fits_arp(u32 length) {
  return length >= 42 && get16(in + 12) == 0x0806 && get16(in + 20) == 2 && same(in + 28, gateway, 4);
}
static void speak_echo(void) {
  u8 *icmp = out + 34;
  memset(icmp, 0x5a, 64);
  icmp[0] = 8, icmp[1] = 0, put16(icmp + 2, 0), put16(icmp + 4, 0x7638), put16(icmp + 6, 1);
  put16(icmp + 2, checksum(sum(icmp, 64, 0)));
  ethernet(gateway_mac, 0x0800);
  ip(1, address, gateway, 64);
}
static int fits_echo(u32 length) {
  return length >= 98 && get16(in + 12) == 0x0800 && in[23] == 1 && in[34] == 0 && get16(in + 38) == 0x7638 &&
         checksum(sum(in + 34, 64, 0)) == 0 && in[97] == 0x5a;
}

/* TCP. */

static u32 sent, acknowledged, expected;
static u8 flags_now;
static const char *text_now;

static void segment(u8 flags, const char *text) {
  u8 *tcp = out + 34;
  u32 head = flags & SYN ? 24 : 20, length = 0;
  memset(tcp, 0, head);
  put16(tcp, OUR_PORT), memcpy(tcp + 2, server + 4, 2), put32(tcp + 4, sent), put32(tcp + 8, expected);
  tcp[12] = head << 2, tcp[13] = flags, put16(tcp + 14, WINDOW);
  if (flags & SYN) tcp[20] = 2, tcp[21] = 4, put16(tcp + 22, 1460);
  while (text && text[length]) tcp[head + length] = text[length], length++;
  u32 total = sum(address, 4, 0) + sum(server, 4, 0) + 6 + head + length;
  put16(tcp + 16, checksum(sum(tcp, head + length, total)));
  ethernet(gateway_mac, 0x0800);
  ip(6, address, server, head + length);
}
static void speak_tcp(void) { segment(flags_now, text_now); }
/* A segment of the connection whose checksum is right. */
static int fits_tcp(u32 length) {
  if (length < 54 || get16(in + 12) != 0x0800 || in[23] != 6 || !same(in + 26, server, 4)) return 0;
  u32 bytes = get16(in + 16) - 20;
  if (34 + bytes > length || get16(in + 36) != OUR_PORT || !same(in + 34, server + 4, 2)) return 0;
  return checksum(sum(in + 34, bytes, sum(in + 26, 8, 0) + 6 + bytes)) == 0;
}

static u32 body_bytes, hash = 0x811c9dc5, ends_seen, head_bytes;
static char status[13];

/* The head of the answer ends with an empty line; what follows is hashed (FNV-1a, 32 bits). */
static void take(const u8 *bytes, u32 count) {
  for (u32 at = 0; at < count; at++) {
    if (ends_seen == 4) {
      hash = (hash ^ bytes[at]) * 16777619u, body_bytes++;
      continue;
    }
    if (head_bytes < 12) status[head_bytes] = bytes[at];
    head_bytes++;
    ends_seen = bytes[at] == (ends_seen & 1 ? '\n' : '\r') ? ends_seen + 1 : bytes[at] == '\r';
  }
}
static void fetch(void) {
  /* Far from 2^32: v86's own TCP, which ends the connection where it speaks Wisp, does not wrap. */
  sent = 1000, flags_now = SYN, text_now = 0;
  do ask(speak_tcp, fits_tcp);
  while ((in[47] & (SYN | ACK)) != (SYN | ACK) || get32(in + 42) != sent + 1);
  sent++, expected = get32(in + 38) + 1;
  flags_now = ACK | PSH, text_now = "GET /file HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";
  u32 request = 0;
  while (text_now[request]) request++;
  for (int done = 0; !done;) {
    ask(speak_tcp, fits_tcp);
    if (in[47] & RST) {
      say("reset\n");
      return;
    }
    acknowledged = get32(in + 42);
    if (text_now && acknowledged == sent + request) sent += request, text_now = 0, flags_now = ACK;
    u32 at = 34 + (in[46] >> 4) * 4, count = 14 + get16(in + 16) - at;
    if (get32(in + 38) != expected) continue;
    take(in + at, count);
    expected += count;
    if (in[47] & FIN) expected++, done = 1;
  }
  flags_now = ACK | FIN;
  speak_tcp();
  say("http "), say(status), say(" "), say_number(body_bytes, 10), say(" "), say_number(hash, 16), say("\n");
}

/* Stands at the program's beginning, where the start-up ROM jumps. */
__attribute__((section(".text.startup"))) void start(void) {
  start_card();
  lease();
  ask(speak_arp, fits_arp);
  memcpy(gateway_mac, in + 22, 6);
  say("gateway"), say(" is at ");
  for (u32 at = 0; at < 6; at++) say_number(gateway_mac[at] >> 4, 16), say_number(gateway_mac[at] & 15, 16);
  say("\n");
  ask(speak_echo, fits_echo);
  say("echo\n");
  fetch();
  for (;;) __asm__ volatile("hlt");
}
