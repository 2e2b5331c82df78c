/*
 * Drives DPDK's rte_fib and rte_fib6 for package peers: one command a line on
 * standard input, one line in answer, "ok ..." or "error ...".
 *
 *   table4 FILE ENTRIES   routes into rte_fib with 2 and 4 byte entries
 *   table6 FILE ENTRIES   routes into rte_fib6 with 4 byte entries
 *   stream NAME 4|6 FILE  queries, as package streams writes them
 *   sum VARIANT NAME      checksum of all answers
 *   run VARIANT NAME FROM N   N lookups in bursts; answers with nanoseconds of
 *                             this thread's processor time
 *
 * A route is six 32-bit words of the machine: address (IPv4 in the first, IPv6 in
 * four, the highest first), length, next hop.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_memory.h>

#define BURST 256
#define MISS 64 /* the default next hop: one more than tables have */
#define MAX_STREAMS 16

static struct rte_fib *fib2, *fib4;
static struct rte_fib6 *fib6;

struct stream {
	char name[64];
	int family;
	size_t n; /* a power of two */
	uint32_t *v4;
	uint8_t (*v6)[16];
};

static struct stream streams[MAX_STREAMS];
static int nstreams;

static void *slurp(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	fseek(f, 0, SEEK_END);
	long n = ftell(f);
	rewind(f);
	void *p = n > 0 ? malloc(n) : NULL;
	if (p && fread(p, 1, n, f) != (size_t)n) {
		free(p);
		p = NULL;
	}
	fclose(f);
	*size = p ? (size_t)n : 0;
	return p;
}

static void bytes6(const uint32_t *words, uint8_t *out)
{
	for (int w = 0; w < 4; w++)
		for (int b = 0; b < 4; b++)
			out[4 * w + b] = words[w] >> (24 - 8 * b);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static struct rte_fib *make4(const char *name, int routes, enum rte_fib_dir24_8_nh_sz size)
{
	struct rte_fib_conf c = { .type = RTE_FIB_DIR24_8, .default_nh = MISS, .max_routes = routes };
	c.dir24_8.nh_sz = size;
	c.dir24_8.num_tbl8 = 1 << 14;
	return rte_fib_create(name, SOCKET_ID_ANY, &c);
}

static void table4(const uint32_t *r, size_t n)
{
	int room = 2 * n + 1024, failed = 0;
	fib2 = make4("two", room, RTE_FIB_DIR24_8_2B);
	fib4 = make4("four", room, RTE_FIB_DIR24_8_4B);
	if (!fib2 || !fib4) {
		printf("error rte_fib_create: %s\n", rte_strerror(rte_errno));
		return;
	}
	double begin = now();
	for (size_t i = 0; i < n; i++)
		failed += rte_fib_add(fib2, r[6 * i], r[6 * i + 4], r[6 * i + 5]) != 0;
	double took = now() - begin;
	for (size_t i = 0; i < n; i++)
		failed += rte_fib_add(fib4, r[6 * i], r[6 * i + 4], r[6 * i + 5]) != 0;
	printf("ok %d %.0f\n", failed, took);
}

static void table6(const uint32_t *r, size_t n)
{
	struct rte_fib6_conf c = { .type = RTE_FIB6_TRIE, .default_nh = MISS, .max_routes = 2 * n + 1024 };
	c.trie.nh_sz = RTE_FIB6_TRIE_4B;
	c.trie.num_tbl8 = 1 << 18;
	fib6 = rte_fib6_create("six", SOCKET_ID_ANY, &c);
	if (!fib6) {
		printf("error rte_fib6_create: %s\n", rte_strerror(rte_errno));
		return;
	}
	int failed = 0;
	double begin = now();
	for (size_t i = 0; i < n; i++) {
		uint8_t a[16];
		bytes6(r + 6 * i, a);
		failed += rte_fib6_add(fib6, a, r[6 * i + 4], r[6 * i + 5]) != 0;
	}
	printf("ok %d %.0f\n", failed, now() - begin);
}

static void add_stream(const char *name, int family, const char *path)
{
	size_t size;
	uint32_t *words = slurp(path, &size);
	if (!words || nstreams == MAX_STREAMS) {
		printf("error stream %s: %s\n", name, words ? "too many" : strerror(errno));
		return;
	}
	struct stream *s = &streams[nstreams++];
	snprintf(s->name, sizeof s->name, "%s", name);
	s->family = family;
	if (family == 4) {
		s->v4 = words;
		s->n = size / 4;
	} else {
		s->n = size / 16;
		s->v6 = malloc(size);
		for (size_t i = 0; i < s->n; i++)
			bytes6(words + 4 * i, s->v6[i]);
		free(words);
	}
	printf("ok %zu\n", s->n);
}

static struct stream *find(const char *name, int family)
{
	for (int i = 0; i < nstreams; i++)
		if (streams[i].family == family && !strcmp(streams[i].name, name))
			return &streams[i];
	return NULL;
}

/* choose selects how to look up; NULL for a table that is not there. */
static struct stream *choose(const char *variant, const char *name, struct rte_fib **f)
{
	int vector = strstr(variant, "avx512") != NULL;
	*f = NULL;
	if (!strncmp(variant, "rte_fib6", 8)) {
		if (!fib6 || rte_fib6_select_lookup(fib6, vector ? RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512 : RTE_FIB6_LOOKUP_TRIE_SCALAR))
			return NULL;
		return find(name, 6);
	}
	*f = strstr(variant, "4B") ? fib4 : fib2;
	if (!*f || rte_fib_select_lookup(*f, vector ? RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 : RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO))
		return NULL;
	return find(name, 4);
}

static void look(struct rte_fib *f, struct stream *s, size_t at, uint64_t *out, int n)
{
	if (s->family == 4)
		rte_fib_lookup_bulk(f, s->v4 + at, out, n);
	else
		rte_fib6_lookup_bulk(fib6, s->v6 + at, out, n);
}

static void sum(struct rte_fib *f, struct stream *s)
{
	uint64_t out[BURST], h = 0xcbf29ce484222325;
	for (size_t at = 0; at < s->n; at += BURST) {
		int n = s->n - at < BURST ? s->n - at : BURST;
		look(f, s, at, out, n);
		for (int k = 0; k < n; k++)
			h = (h ^ (out[k] == MISS ? 0xffffffff : out[k])) * 0x100000001b3;
	}
	printf("ok %016" PRIx64 "\n", h);
}

static void run(struct rte_fib *f, struct stream *s, size_t at, size_t n)
{
	uint64_t out[BURST];
	double begin = now();
	while (n > 0) {
		int k = n < BURST ? n : BURST;
		if (at + k > s->n)
			k = s->n - at;
		look(f, s, at, out, k);
		__asm__ volatile("" : : "r"(out) : "memory");
		n -= k;
		if ((at += k) == s->n)
			at = 0;
	}
	printf("ok %.0f\n", now() - begin);
}

int main(int argc, char **argv)
{
	if (rte_eal_init(argc, argv) < 0) {
		printf("error rte_eal_init: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ok %s\n", rte_eal_has_hugepages() ? "2M" : "4K");
	char line[4096], a[64], b[64], path[3072];
	while (fgets(line, sizeof line, stdin)) {
		size_t from, n, size;
		int family;
		struct rte_fib *f;
		struct stream *s;
		if (sscanf(line, "table%d %3071s", &family, path) == 2) {
			uint32_t *r = slurp(path, &size);
			if (!r)
				printf("error %s\n", strerror(errno));
			else if (family == 4)
				table4(r, size / 24);
			else
				table6(r, size / 24);
			free(r);
		} else if (sscanf(line, "stream %63s %d %3071s", a, &family, path) == 3) {
			add_stream(a, family, path);
		} else if (sscanf(line, "sum %63s %63s", a, b) == 2) {
			if ((s = choose(a, b, &f)))
				sum(f, s);
			else
				printf("error no %s here\n", a);
		} else if (sscanf(line, "run %63s %63s %zu %zu", a, b, &from, &n) == 4) {
			if ((s = choose(a, b, &f)) && from < s->n)
				run(f, s, from, n);
			else
				printf("error no %s here\n", a);
		} else {
			printf("error what is %s", line);
		}
	}
	return 0;
}
