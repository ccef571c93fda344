/* The API over a fresh store on a free port of 127.0.0.1, in plain text and without an edge, for the client test.
 * Prints one line, "BASE_URL TOKEN", and serves until its standard input ends. */
#include "api/api_test.h"
#include "api/server.h"
#include "net/addr.h"
#include "net/listener.h"

static struct rf_loop *loop;

static void on_input(struct rf_io *io, unsigned events)
{
	(void)events;
	char c;
	ssize_t n = rf_io_recv(loop, io, &c, 1);
	if (n < 0 && n != RF_E_AGAIN)
		rf_loop_stop(loop);
}

int main(void)
{
	static struct fixture f;
	struct rf_addr at;
	char token[64], text[RF_ADDR_TEXT];
	int fd;
	if (fixture_open(&f, 0) != 0 || !(loop = rf_loop_epoll(&f.e)))
		return 1;
	rf_addr_parse(RF_STR("127.0.0.1:0"), &at);
	struct rf_api_server_conf conf = { .loop = loop, .api = f.api, .admin_gid = (gid_t)-1 };
	struct rf_api_server *server = rf_api_server_new(&conf, &f.e);
	if (rf_listener_open(&at, &fd, &f.e) != RF_OK)
		return 1;
	at = rf_listener_addr(fd);
	if (rf_api_server_listen(server, fd, RF_API_PLAIN, &f.e) != RF_OK ||
	    rf_api_first_token(f.api, f.account, "client test", token, &f.e) != RF_OK)
		return 1;
	printf("http://%s/client/v4 %s\n", rf_addr_str(&at, text), token);
	fflush(stdout);
	struct rf_io in = { .fd = dup(0), .ready = on_input };
	fcntl(in.fd, F_SETFL, O_NONBLOCK);
	if (rf_loop_add(loop, &in) == RF_OK)
		rf_loop_run(loop);
	rf_loop_close(loop, &in);
	rf_api_server_free(server);
	rf_loop_free(loop);
	fixture_close(&f);
	return 0;
}
