/* A guest's init that crashes: a real fault, the only signal of its own that a first process dies of. */
int
main(void)
{
	__builtin_trap();
}
