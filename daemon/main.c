/* vnoded(8): options, signals, the loop. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/change.h"
#include "daemon/daemon.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/notify.h"

#define FILES 262144u			/* as LimitNOFILE of vnoded.service */

#ifndef VNODED_CONFIG
#define VNODED_CONFIG "/etc/vnoded/vnoded.conf"
#endif

static const struct daemon_backends real = {
	{ &compute_lxc }, &net_linux, &disk_local, &fetch_curl, NULL
};

/* For load tests and for trying the protocol out: nothing of the machine is touched. */
static const struct daemon_backends fake = {
	{ &compute_fake }, &net_fake, &disk_fake, &fetch_fake, NULL
};

struct options {
	const char *config_path;
	bool config_given, fake;
	int argc;
	char **argv;
	struct config config;
};

struct running {
	struct loop *loop;
	struct daemon *daemon;
	const struct options *options;
};

static void
usage(FILE *out)
{
	fputs("usage: vnoded [--config FILE] [--set KEY=VALUE]... [--socket PATH] [--fake]\n"
	      "       vnoded --print states|fields|config|verbs\n"
	      "       vnoded --version | --help\n\n"
	      "Runs in the foreground until SIGTERM; guests live on. SIGHUP reads the configuration\n"
	      "again. --fake runs on an in-memory machine. See vnoded(8) and vnoded.conf(5).\n", out);
}

static int
print_verbs(void)
{
	for (const struct verb *const *verb = verbs; *verb; verb++) {
		printf("%s %d:", (*verb)->method, (*verb)->version);
		for (const struct step *step = (*verb)->steps; step->name; step++)
			printf(" %s", step->name);
		printf("\n");
	}
	return 0;
}

static int
print_table(const char *which)
{
	vn_autofree char *text = NULL;

	if (strcmp(which, "states") == 0) {
		text = verb_state_document();
	} else if (strcmp(which, "fields") == 0) {
		text = change_document();
	} else if (strcmp(which, "config") == 0) {
		json_t *keys = config_describe();

		text = json_dumps(keys, JSON_INDENT(1));
		json_decref(keys);
	} else if (strcmp(which, "verbs") == 0) {
		return print_verbs();
	} else {
		usage(stderr);
		return 2;
	}
	fputs(text, stdout);
	return 0;
}

static int
complain(const struct vn_error *err)
{
	fprintf(stderr, "vnoded: %s\n", err->text);
	return 2;
}

static int
set_or_complain(struct config *config, const char *assignment)
{
	struct vn_error err = { 0 };

	return config_set(config, assignment, &err) < 0 ? complain(&err) : 0;
}

/* Reads the file again over defaults, then the assignments of the command line. -1: go on. */
static int
parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "set", required_argument, NULL, 's' },
		{ "socket", required_argument, NULL, 'S' }, { "fake", no_argument, NULL, 'f' },
		{ "print", required_argument, NULL, 'p' }, { "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int option, status;

	optind = 1;
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		vn_autofree char *socket = NULL;

		switch (option) {
		case 'c':
			options->config_path = optarg;
			options->config_given = true;
			break;
		case 's':
			status = set_or_complain(&options->config, optarg);
			if (status)
				return status;
			break;
		case 'S':
			socket = vn_format("socket=%s", optarg);
			status = set_or_complain(&options->config, socket);
			if (status)
				return status;
			break;
		case 'f':
			options->fake = true;
			break;
		case 'p':
			return print_table(optarg);
		case 'v':
			puts("vnoded " DAEMON_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	usage(stderr);
	return 2;
}

/* The file, which may be absent where nobody named it, and the command line, which wins over it. */
static int
read_config(struct options *options, int *ret_status, struct vn_error *err)
{
	config_init(&options->config);
	if (config_read(&options->config, options->config_path, err) < 0 &&
	    (err->code != VN_E_NOT_FOUND || options->config_given))
		return -1;
	*ret_status = parse(options->argc, options->argv, options);
	return 0;
}

static int
configure(int argc, char **argv, struct options *options)
{
	struct vn_error err = { 0 };
	int status;

	*options = (struct options){ .config_path = VNODED_CONFIG, .argc = argc, .argv = argv };
	config_init(&options->config);
	status = parse(argc, argv, options);
	if (status >= 0)
		return status;
	config_fini(&options->config);
	return read_config(options, &status, &err) < 0 ? complain(&err) : status;
}

static enum log_level
level_of(const char *word)
{
	return strcmp(word, "error") == 0 ? LOG_LEVEL_ERROR
	       : strcmp(word, "warning") == 0 ? LOG_LEVEL_WARNING
	       : strcmp(word, "debug") == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

static void
on_terminate(void *arg)
{
	struct running *running = arg;

	vn_log_info("host", "stopping; guests live on");
	loop_stop(running->loop);
}

static void
on_reload(void *arg)
{
	struct running *running = arg;
	struct options fresh = *running->options;
	struct vn_error err = { 0 };
	char restart[256] = "";
	int ignored;

	notify_reloading(running->daemon->notify);
	if (read_config(&fresh, &ignored, &err) < 0) {
		vn_log_error("host", "the configuration stays as it was: %s", err.text);
	} else {
		config_reload(&running->daemon->config, &fresh.config, restart, sizeof(restart));
		log_set_level(level_of(running->daemon->config.log_level));
		vn_log_info("host", "read the configuration again%s%s", restart[0]
			    ? "; needs a restart: " : "", restart);
	}
	config_fini(&fresh.config);
	notify_ready(running->daemon->notify);
}

static int
run(struct options *options)
{
	struct running running = { .options = options };
	struct watch *watches[3] = { NULL };
	struct vn_error err = { 0 };
	int status;

	if (loop_open(&running.loop, &err) < 0)
		return complain(&err);
	log_set_level(level_of(options->config.log_level));
	if (daemon_open(&options->config, options->fake ? &fake : &real, running.loop, &running.daemon,
			&err) < 0) {
		loop_close(running.loop);
		fprintf(stderr, "vnoded: %s\n", err.text);
		return 1;
	}
	watches[0] = loop_add_signal(running.loop, SIGTERM, on_terminate, &running);
	watches[1] = loop_add_signal(running.loop, SIGINT, on_terminate, &running);
	watches[2] = loop_add_signal(running.loop, SIGHUP, on_reload, &running);
	loop_run(running.loop);
	status = running.daemon->failed;
	daemon_close(running.daemon);
	for (size_t i = 0; i < VN_COUNT(watches); i++)
		loop_remove(watches[i]);
	loop_close(running.loop);
	return status;
}

static void *
allocate(size_t size)
{
	return vn_realloc_array(NULL, 1, size);
}

/*
 * A descriptor for each guest, each forward and each client, as vnoded.service has them: what a shell gives is
 * less than max_clients alone. Nothing here uses select.
 */
static void
raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= FILES)
		return;
	files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
	setrlimit(RLIMIT_NOFILE, &files);
}

int
main(int argc, char **argv)
{
	struct options options;
	int status;

	json_set_alloc_funcs(allocate, free);	/* without memory it ends the process, as everywhere */
	mallopt(M_ARENA_MAX, 2);		/* many threads that mostly wait need no heap each */
	status = configure(argc, argv, &options);

	if (status < 0) {
		signal(SIGPIPE, SIG_IGN);
		raise_limits();
		status = run(&options);
	}
	config_fini(&options.config);
	return status;
}
