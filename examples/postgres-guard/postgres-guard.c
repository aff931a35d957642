// Guards the queries of a PostgreSQL connection by the breaker `database` of a ValveChain suite.
//
//   cc postgres-guard.c -o postgres-guard $(pkg-config --cflags --libs valvechain libpq)
//   VALVECHAIN_NAME=valvechain ./postgres-guard 'host=/run/postgresql dbname=app' <queries.sql
//
// Reads one query a line and answers each with one line: `ok ROWS`, `failed REASON`, or `refused
// WHY RETRY_AFTER_MS`: then the database was left in peace. What a query does wrong by itself (its
// syntax, a constraint) is no fault of the database's and is not counted against it.
#include <errno.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valvechain/valvechain.h>

struct database {
    const char *conninfo;
    PGconn *connection; // NULL: none
};

static void say_failed(const char *message)
{
    printf("failed %.*s\n", (int)strcspn(message, "\n"), message);
}

// A broken connection is closed, so that the next query begins with a new one.
static enum valvechain_outcome fail(struct database *database)
{
    say_failed(PQerrorMessage(database->connection));
    PQfinish(database->connection);
    database->connection = NULL;
    return VALVECHAIN_FAILURE;
}

// Classes 08, 53, 57 and 58 of SQLSTATE are the server's: connection, resources, operator, system.
static bool is_the_servers(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state == NULL || strncmp(state, "08", 2) == 0 || strncmp(state, "53", 2) == 0 ||
           strncmp(state, "57", 2) == 0 || strncmp(state, "58", 2) == 0;
}

static enum valvechain_outcome query(struct database *database, const char *sql)
{
    if (database->connection == NULL)
        database->connection = PQconnectdb(database->conninfo);
    if (PQstatus(database->connection) != CONNECTION_OK)
        return fail(database);
    PGresult *result = PQexec(database->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    enum valvechain_outcome outcome = VALVECHAIN_SUCCESS;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        printf("ok %d\n", PQntuples(result));
    } else if (PQstatus(database->connection) != CONNECTION_OK || is_the_servers(result)) {
        outcome = fail(database);
    } else {
        say_failed(PQresultErrorMessage(result));
        outcome = VALVECHAIN_IGNORED;
    }
    PQclear(result);
    return outcome;
}

static void guarded_query(struct valvechain *guard, struct database *database, const char *sql)
{
    struct valvechain_permit permit;
    uint64_t retry_after_ms = 0;
    int error = valvechain_acquire(guard, "database", &permit, &retry_after_ms);
    if (error < 0) {
        const char *why = valvechain_refusal(error);
        printf("refused %s %llu\n", why != NULL ? why : strerror(-error),
               (unsigned long long)retry_after_ms);
        return;
    }
    enum valvechain_outcome outcome = query(database, sql);
    (void)valvechain_report(guard, &permit, outcome, 0); // ours, given just now: cannot fail
}

int main(int argc, char **argv)
{
    char reason[VALVECHAIN_REASON_MAX], line[65536];
    struct valvechain *guard;
    struct database database = {.conninfo = argc == 2 ? argv[1] : ""};
    if (argc != 2) {
        fprintf(stderr, "usage: postgres-guard CONNINFO\n");
        return 2;
    }
    if (valvechain_attach("postgres-guard", reason, sizeof(reason), &guard) < 0) {
        fprintf(stderr, "postgres-guard: %s\n", reason);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        guarded_query(guard, &database, line);
    }
    PQfinish(database.connection);
    valvechain_detach(&guard);
    return 0;
}
