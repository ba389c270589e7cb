/* libvirt's errors are per thread and survive until the next call; they are copied at once. */
#include "backends/libvirt/error.h"

#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>

static void
ignore(void *arg, virErrorPtr error)
{
	(void)arg;
	(void)error;
}

void
virt_error_init(void)
{
	virSetErrorFunc(NULL, ignore);
}

static enum vn_code
code_of(int number)
{
	switch (number) {
	case VIR_ERR_NO_DOMAIN:
		return VN_E_NOT_FOUND;
	case VIR_ERR_DOM_EXIST:
		return VN_E_EXISTS;
	case VIR_ERR_OPERATION_TIMEOUT:
		return VN_E_TIMEOUT;
	case VIR_ERR_NO_SUPPORT:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_ARGUMENT_UNSUPPORTED:
		return VN_E_UNSUPPORTED;
	default:
		return VN_E_BACKEND;
	}
}

int
vn_fail_virt(struct vn_error *err, const char *format, ...)
{
	virErrorPtr error = virGetLastError();
	int number = error ? error->code : 0;
	char what[200];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	vn_fail(err, code_of(number), "%s: %s", what,
		error && error->message ? error->message : "libvirt gives no reason");
	err->sys = number;
	return -1;
}

int
virt_error_is_absent(void)
{
	return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
}
