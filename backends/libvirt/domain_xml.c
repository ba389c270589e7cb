/*
 * libvirt wants a memory size even where there is to be no limit, hence the petabyte; and a console,
 * which vnode-init leaves unused, because an unread one blocks its writer.
 */
#include "backends/libvirt/domain_xml.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/base/mem.h"

#define UNLIMITED_BYTES (UINT64_C(1) << 50)

static void
print_escaped(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '<' || byte == '>' || byte == '&' || byte == '\'' || byte == '"')
			fprintf(out, "&#%d;", byte);
		else
			fputc(byte < ' ' ? '?' : byte, out);	/* XML 1.0 has no way to say those */
	}
}

/* <name>text</name> */
static void
print_element(FILE *out, const char *name, const char *text)
{
	fprintf(out, "<%s>", name);
	print_escaped(out, text);
	fprintf(out, "</%s>\n", name);
}

static void
print_tag(FILE *out, const char *instance, const char *uuid)
{
	fputs("<metadata><vnoded:guest xmlns:vnoded='" DOMAIN_XML_NAMESPACE "' tag='vnoded:", out);
	print_escaped(out, instance);
	fputc(':', out);
	print_escaped(out, uuid);
	fputs("'/></metadata>\n", out);
}

int64_t
domain_xml_quota(unsigned vcpus)
{
	return vcpus ? (int64_t)vcpus * DOMAIN_XML_PERIOD_US : -1;
}

static void
print_limits(FILE *out, const struct guest_spec *spec)
{
	fprintf(out, "<memory unit='b'>%" PRIu64 "</memory>\n<vcpu>%u</vcpu>\n",
		spec->memory_bytes ? spec->memory_bytes : UNLIMITED_BYTES,
		spec->vcpus ? spec->vcpus : 1);
	if (spec->vcpus)
		fprintf(out, "<cputune><period>%d</period><quota>%" PRId64 "</quota></cputune>\n",
			DOMAIN_XML_PERIOD_US, domain_xml_quota(spec->vcpus));
}

char *
domain_xml_new(const struct guest_spec *spec, const char *instance, const char *skeleton)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fputs("<domain type='lxc'>\n", out);
	print_element(out, "name", spec->domain);
	print_element(out, "uuid", spec->uuid);
	print_element(out, "title", spec->title ? spec->title : spec->domain);
	print_tag(out, instance, spec->uuid);
	print_limits(out, spec);
	fputs("<os><type>exe</type><init>/proc/self/fd/3</init></os>\n"
	      "<features><privnet/><capabilities policy='allow'/></features>\n"
	      "<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot>"
	      "<on_crash>destroy</on_crash>\n"
	      "<devices><filesystem type='mount'><source dir='", out);
	print_escaped(out, skeleton);
	fputs("'/><target dir='/'/></filesystem><console type='pty'/></devices>\n</domain>\n", out);
	if (fclose(out) != 0)
		abort();
	return text;
}
