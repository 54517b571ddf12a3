/* Asks a DNS server on loopback as fast as it answers, with so many queries under way, and checks each answer.
 *
 *     load port=N load=hot|resolver|random|echo [seconds=3] [warm=0.5] [window=100] [sockets=4] [names=5000]
 *          [processes=PID,PID] [others=MICROSECONDS]
 *
 * Prints one JSON object about the measured seconds: answers, losses and wrong ones, their latency, and the processor
 * time of the server's processes in the same moment. With `others`, one more client asks an existing name so
 * often, and its latency is told apart.
 */
#include "client.h"
#include <dirent.h>

enum kind { HOT, RESOLVER, RANDOM, ECHO };

static struct cookie cookies[CLIENTS];
static enum kind kind;
static uint32_t names;

static void compose(struct query *q) {
  if (kind == RANDOM || (kind == RESOLVER && below(10) < 3)) ask_nobody(q);
  else ask_number(q, below(names));
  if (kind != RESOLVER) return;
  mix_case(q);
  add_edns(q, &cookies[below(CLIENTS)]);
}

static const char *judge(const struct query *q, const uint8_t *m, int length, uint64_t now) {
  (void)now;
  if (kind == ECHO)
    return length != q->length || !(m[2] & 0x80) || memcmp(m + 3, q->wire + 3, (size_t)length - 3) ? "echo" : NULL;
  struct answer a = read_answer(q, m, length);
  if (a.wrong) return a.wrong;
  if (a.rcode == BADCOOKIE && q->cookie && q->length == q->question_end + NEW_CLIENT) return NULL; /* as Knot does */
  if (a.rcode != q->rcode) return "rcode";
  if (q->rcode == NOERROR && (a.count != 1 || a.addresses[0] != address_of(q->number))) return "address";
  return NULL;
}

/* Nanoseconds on a processor of all threads of the processes (the first number of schedstat). */
static uint64_t processor_ns(const char *processes) {
  uint64_t all = 0;
  for (char *end; *processes; processes = *end ? end + 1 : end) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%ld/task", strtol(processes, &end, 10));
    DIR *tasks = opendir(path);
    if (!tasks) continue;
    for (struct dirent *task; (task = readdir(tasks));) {
      snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", strtol(processes, NULL, 10), task->d_name);
      FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
      unsigned long long ns = 0;
      if (!file) continue;
      if (fscanf(file, "%llu", &ns) == 1) all += ns;
      fclose(file);
    }
    closedir(tasks);
  }
  return all;
}

static void any_name(struct query *q) { ask_number(q, below(names)); }

static struct manner crowd = {.ask = compose, .judge = judge}, others = {.ask = any_name, .judge = judge};

int main(int count, char **given) {
  arguments = given;
  const char *which = option("load", "hot"), *processes = option("processes", "");
  static const char *const kinds[] = {"hot", "resolver", "random", "echo"};
  while (kind < ECHO && strcmp(which, kinds[kind])) kind++;
  names = (uint32_t)number("names", "5000");
  int port = (int)number("port", "0"), sockets = (int)number("sockets", "4");
  int window = (int)number("window", "100") / sockets;
  if (count < 3 || !port || sockets > 64 || window < 1 || window > PLACES)
    return fputs("usage: load port=N load=KIND ...\n", stderr), 2;
  uint64_t pause = (uint64_t)(number("others", "0") * 1e3), next = 0;
  bake_cookies(cookies, CLIENTS);
  struct client *clients[64], *other = new_client(port, 16, &others);
  for (int i = 0; i < sockets; i++) clients[i] = new_client(port, window, &crowd);

  static struct batch batch;
  uint64_t start = now_ns(), warm = start + (uint64_t)(number("warm", "0.5") * 1e9), begin = 0;
  uint64_t end = warm + (uint64_t)(number("seconds", "3") * 1e9), now = start, sweep = start, cpu = 0;
  while ((now = now_ns()) < end) {
    if (!begin && now >= warm) {
      uint64_t wrong = crowd.tally.wrong; /* counts, however early */
      memset(&crowd.tally, 0, sizeof crowd.tally), memset(&others.tally, 0, sizeof others.tally);
      crowd.tally.wrong = wrong;
      begin = now_ns(), cpu = processor_ns(processes);
    }
    for (int i = 0; i < sockets; i++) {
      take_some(clients[i], &batch);
      if (clients[i]->free > window / 4) send_some(clients[i], &batch, BATCH); /* some at once cost less */
    }
    if (pause) {
      take_some(other, &batch);
      if (now >= next) send_some(other, &batch, 1), next = now + pause;
    }
    if (now - sweep < 10000000) continue;
    sweep = now;
    for (int i = 0; i < sockets; i++) give_up(clients[i], now);
    give_up(other, now);
  }
  double spent = (double)(processor_ns(processes) - cpu), wall = (double)(now_ns() - begin);
  printf("{");
  tell(stdout, "crowd", &crowd.tally);
  if (pause) tell(stdout, "others", &others.tally);
  printf("\"seconds\": %.4f, \"cpu seconds\": %.6f, \"first wrong\": \"%s\"}\n", wall / 1e9, spent / 1e9, first_wrong);
  return 0;
}
