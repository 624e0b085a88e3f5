/* h2_cases.h - the scripts of h2_test.c, which explains them.  A name begins
 * with the section of RFC 9113 that the case is about. */
#ifndef H2_CASES_H
#define H2_CASES_H

#include <stdbool.h>

/* Three requests (1, 3, 5) are open when a CASE begins, none when a FRESH. */
#define CASE(name, script, want)                                               \
	{                                                                      \
		name, script, want, false                                      \
	}
#define FRESH(name, script, want)                                              \
	{                                                                      \
		name, script, want, true                                       \
	}

static const struct h2_case {
	const char *name, *script, *want;
	bool fresh;
} cases[] = {
	/* --- what a good server does --- */
	CASE("8.1: a 200", "H 5 1 88", "done 1 200\n"),
	CASE("8.1: an error with a body",
	    "H 4 3 [:status: 410] [apns-id: x];D 1 3 'gone'",
	    "header 3 apns-id: x\ndone 3 410 gone\n"),
	CASE("8.1: a body in many frames",
	    "H 4 3 8d;D 0 3 'a';D 0 3 'b';D 0 3;D 0 3 'c';D 1 3",
	    "done 3 404 abc\n"),
	CASE("8.1: a body of 3000 bytes is kept to 1024",
	    "H 4 1 8e;D 0 1 *1500;D 1 1 *1500", "done 1 500 (1024 bytes)\n"),
	CASE("8.1: a body without end is cancelled, its answer counts",
	    "H 4 1 8e;65x D 0 1 *1000;D 1 1 *500;H 5 3 88",
	    "done 1 500 (1024 bytes)\ndone 3 200\n"
	    "> WINDOW_UPDATE 33000\n> RST_STREAM 1 CANCEL\n"),
	CASE("8.1: so is one of padding",
	    "H 4 1 8d;D 0 1 'x';128x D 8 1 ff *255;H 5 3 88",
	    "done 1 404 x\ndone 3 200\n"
	    "> WINDOW_UPDATE 32769\n> RST_STREAM 1 CANCEL\n"),
	CASE("8.1: so is one that content-length promised",
	    "H 4 1 8d [content-length: 65535];2x D 0 1 *16384",
	    "header 1 content-length: 65535\ndone 1 404 (1024 bytes)\n"
	    "> WINDOW_UPDATE 32768\n> RST_STREAM 1 CANCEL\n"),
	CASE("8.1: one of 32 KiB is whole",
	    "H 4 1 8d [content-length: 32767];D 0 1 *16384;D 0 1 *16383;D 1 1",
	    "header 1 content-length: 32767\ndone 1 404 (1024 bytes)\n"),
	CASE("8.1: so is one that ends just there",
	    "H 4 1 8d;D 0 1 *16384;D 1 1 *16384",
	    "done 1 404 (1024 bytes)\n> WINDOW_UPDATE 32768\n"),
	CASE("8.1: a body without end before ours was sent",
	    "!req 65600;!quiet;H 4 7 88;2x D 0 7 *16384;!capacity;H 5 1 88",
	    "> HEADERS 7\n> DATA 7 16384\n> DATA 7 16384\n> DATA 7 16384\n"
	    "> DATA 7 16377\ndone 7 200 (1024 bytes)\ncapacity 0 open 3\n"
	    "done 1 200\n"),
	CASE("8.1: answers in another order", "H 5 5 88;H 5 1 88;H 5 3 88",
	    "done 5 200\ndone 1 200\ndone 3 200\n"),
	CASE("8.1: trailers", "H 4 1 88;D 0 1 'x';H 5 1 [grpc-status: 0]",
	    "done 1 200 x\n"),
	CASE("8.1: interim responses",
	    "H 4 1 [:status: 100];H 4 1 [:status: 103] [link: x];H 5 1 88",
	    "done 1 200\n"),
	CASE("8.1: answered and reset before the body was sent",
	    "!req 65600;!capacity;H 5 7 88;R 0 7 =0;!capacity;H 5 1 88",
	    "> HEADERS 7\n> DATA 7 16384\n> DATA 7 16384\n> DATA 7 16384\n"
	    "> DATA 7 16377\ncapacity 0 open 4\ndone 7 200\n> RST_STREAM 7 "
	    "CANCEL\n"
	    "capacity 0 open 3\ndone 1 200\n"),
	CASE("8.1: an answer opens the next request",
	    "!again;H 5 1 88;H 5 3 88;H 5 7 88",
	    "done 1 200\ndone 3 200\ndone 7 200\n> HEADERS 7\n> DATA 7 2 end\n"
	    "> HEADERS 9\n> DATA 9 2 end\n> HEADERS 11\n> DATA 11 2 end\n"),
	CASE("8.1.1: content-length that fits",
	    "H 4 1 8d [content-length: 4];D 1 1 'gone'",
	    "header 1 content-length: 4\ndone 1 404 gone\n"),
	CASE("8.1.1: content-length twice, the same",
	    "H 4 1 8d [content-length: 4] [content-length: 4];D 1 1 'gone'",
	    "header 1 content-length: 4\nheader 1 content-length: 4\n"
	    "done 1 404 gone\n"),
	CASE("8.1.1: 304 has a content-length and no content",
	    "H 5 1 8b [content-length: 4]",
	    "header 1 content-length: 4\ndone 1 304\n"),
	CASE("8.2.2: te: trailers", "H 5 1 88 [te: trailers]",
	    "header 1 te: trailers\ndone 1 200\n"),
	CASE("6.1: padded data", "H 4 1 8d;D 9 1 03 'gone' *3;D 8 3 00 'x'",
	    "done 1 404 gone\n"
	    "lost 3 PROTOCOL_ERROR, data comes before headers\n"
	    "> RST_STREAM 3 PROTOCOL_ERROR\n"),
	CASE("6.1: all padding", "H 4 1 8d;D 9 1 05 *5", "done 1 404\n"),
	CASE("6.2: padding and priority", "H 2d 1 02 =0 10 88 *2",
	    "done 1 200\n"),
	CASE("6.2: priority on itself means nothing", "H 25 1 =1 10 88",
	    "done 1 200\n"),
	CASE("6.10: a block in four frames",
	    "H 1 1 88;C 0 1 00 01;C 0 1;C 4 1 'a' 01 'b'",
	    "header 1 a: b\ndone 1 200\n"),
	CASE("6.10: an empty HEADERS and all in CONTINUATION", "H 1 1;C 4 1 88",
	    "done 1 200\n"),
	CASE("6.3: PRIORITY anywhere",
	    "P 0 1 =0 10;P 0 99 =0 10;P 0 2 =0 10;H 5 1 88", "done 1 200\n"),
	CASE("6.7: PING is answered", "I 0 0 'abcdefgh'", "> PING ack\n"),
	CASE("6.7: our PING",
	    "!ping;!ping;I 1 0 *8;I 1 0 'abcdefgh';!pinged;I 1 0 01 *7;"
	    "!pinged;I 1 0 01 *7",
	    "> PING\noutstanding\nanswered\n"),
	CASE("6.5: SETTINGS again",
	    "S 0 0 00 03 =1;!capacity;S 1 0;S 0 0 00 03 =200;!capacity",
	    "> SETTINGS ack\ncapacity 0 open 3\n> SETTINGS ack\ncapacity 97 "
	    "open 3\n"),
	CASE("5.5: unknown frames, flags and settings",
	    "X ff 1 'what';X 0 0;S f0 0 ff ff =9;I f0 0 *8;H d5 1 88",
	    "done 1 200\n> SETTINGS ack\n> PING ack\n"),
	CASE("4.1: the reserved bit of a stream id",
	    "RAW 00 00 01 01 05 80 00 00 01 88", "done 1 200\n"),
	CASE("5.4.2: a reset", "R 0 1 =2;H 5 3 88",
	    "lost 1 INTERNAL_ERROR, the server reset the stream\ndone 3 200\n"),
	CASE("8.7: REFUSED_STREAM", "R 0 1 =7",
	    "unprocessed 1 REFUSED_STREAM, the server refused the stream\n"),
	CASE("7: an unknown error code", "R 0 1 =4660",
	    "lost 1 unknown error (0x1234), the server reset the "
	    "stream\n"),
	CASE("5.4.2: a reset with NO_ERROR is no answer", "H 4 1 88;R 0 1 =0",
	    "lost 1 NO_ERROR, the server reset the stream\n"),
	CASE("6.8: GOAWAY in two steps",
	    "G 0 0 =2147483647 =0;!capacity;!req 2;H 5 1 88;G 0 0 =3 =0;H 5 3 "
	    "88;"
	    "!capacity",
	    "goaway NO_ERROR \ncapacity 0 open 3 finished\nrefused\ndone 1 "
	    "200\n"
	    "unprocessed 5 NO_ERROR, the server closes the connection\n"
	    "goaway NO_ERROR \ndone 3 200\ncapacity 0 open 0 finished\n"),
	CASE("6.8: GOAWAY with an error and debug data",
	    "G 0 0 =0 =11 '{\"reason\":\"Shutdown\"}'",
	    "unprocessed 1 ENHANCE_YOUR_CALM, the server closes the "
	    "connection\n"
	    "unprocessed 3 ENHANCE_YOUR_CALM, the server closes the "
	    "connection\n"
	    "unprocessed 5 ENHANCE_YOUR_CALM, the server closes the "
	    "connection\n"
	    "goaway ENHANCE_YOUR_CALM {\"reason\":\"Shutdown\"}\n"),
	CASE("6.8: our GOAWAY, answers still come",
	    "!bye;!capacity;H 5 1 88;!req 2",
	    "> GOAWAY NO_ERROR\ncapacity 0 open 3 finished\ndone 1 "
	    "200\nrefused\n"),
	CASE("5.1: late frames on a stream that we cancelled",
	    "!cancel 1;H 4 1 88;D 0 1 'x';W 0 1 =5;R 0 1 =8;H 5 3 88",
	    "> RST_STREAM 1 CANCEL\ndone 3 200\n"),
	CASE("5.1: late frames on the first of many cancelled streams",
	    "!quiet;!reqs 90;!cancels 80;H 4 7 88;D 1 7 'x';H 5 165 88;H 5 1 "
	    "88",
	    "done 1 200\n"),
	CASE("5.1.1: an old stream among many new ones",
	    "!quiet;!again;H 5 3 88;H 5 5 88;H 5 7 88;H 5 9 88;H 5 11 88;"
	    "H 5 13 88;H 5 1 88;H 5 17 88",
	    "done 3 200\ndone 5 200\ndone 7 200\ndone 9 200\ndone 11 200\n"
	    "done 13 200\ndone 1 200\ndone 17 200\n"),
	CASE("5.4.1: nothing is sent after an error",
	    "H 5 0 88;!ping;!bye;!req 2;!cancel 99;!capacity",
	    "error PROTOCOL_ERROR: HEADERS on stream 0\n"
	    "> GOAWAY PROTOCOL_ERROR\nrefused\ncapacity 0 open 3 finished\n"),
	CASE("5.1: RST_STREAM and WINDOW_UPDATE on a closed stream",
	    "H 5 1 88;R 0 1 =0;W 0 1 =5;H 5 3 88", "done 1 200\ndone 3 200\n"),
	CASE("5.1.1: the last stream id",
	    "!last;!capacity;!req 2;!capacity;!req 2;H 5 2147483647 88",
	    "capacity 1 open 3\n> HEADERS 2147483647\n> DATA 2147483647 2 end\n"
	    "capacity 0 open 4 finished\nrefused\ndone 4095 200\n"),
	CASE("9.1: the transport goes", "H 4 1 88;!close",
	    "lost 1 NO_ERROR, the connection was lost\n"
	    "lost 3 NO_ERROR, the connection was lost\n"
	    "lost 5 NO_ERROR, the connection was lost\n"),

	/* --- flow control --- */
	FRESH("6.9.2: INITIAL_WINDOW_SIZE 0, then raised",
	    "S 0 0 00 04 =0;!req 5;!req 5;!wait 0;S 0 0 00 04 =3;!wait 0;"
	    "S 0 0 00 04 =5",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> SETTINGS ack\n> DATA 1 3\n> DATA 3 3\n> SETTINGS ack\n"
	    "> DATA 1 2 end\n> DATA 3 2 end\n"),
	FRESH("6.9.2: a window taken back below 0",
	    "S 0 0 00 04 =10;!req 15;!wait 0;S 0 0 00 04 =0;!wait 0;W 0 1 =12;"
	    "!wait 0;W 0 1 =1;!wait 0;W 0 1 =9",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> DATA 1 10\n"
	    "> SETTINGS ack\n> DATA 1 2\n> DATA 1 1\n> DATA 1 2 end\n"),
	FRESH("6.9.2: INITIAL_WINDOW_SIZE 2^31-1",
	    "S 0 0 00 04 =2147483647;!req 5;!wait 0;H 5 1 88",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> DATA 1 5 end\n"
	    "done 1 200\n"),
	FRESH("6.9: the connection's window",
	    "S 0 0 00 04 =0;!req 40000;!req 40000;!req 9;!wait 0;"
	    "S 0 0 00 04 =50000;!capacity;!wait 0;W 0 0 =20000;!capacity;!wait "
	    "0;"
	    "H 5 1 88",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> HEADERS 5\n> SETTINGS ack\n> DATA 1 16384\n> DATA 1 16384\n"
	    "> DATA 1 7232 end\n> DATA 3 16384\n> DATA 3 9151\ncapacity 0 open "
	    "3\n"
	    "> DATA 3 14465 end\n> DATA 5 9 end\ncapacity 97 open 3\ndone 1 "
	    "200\n"),
	FRESH("6.9: a waiting request is cancelled",
	    "S 0 0 00 04 =0;!req 40000;!req 40000;!req 9;!wait 0;"
	    "S 0 0 00 04 =50000;!cancel 3;!wait 0;W 0 0 =20000",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> HEADERS 5\n> SETTINGS ack\n> DATA 1 16384\n> DATA 1 16384\n"
	    "> DATA 1 7232 end\n> DATA 3 16384\n> DATA 3 9151\n"
	    "> RST_STREAM 3 CANCEL\n> DATA 5 9 end\n"),
	FRESH("6.9: a waiting request is reset",
	    "S 0 0 00 04 =0;!req 40000;!req 40000;!req 9;!wait 0;"
	    "S 0 0 00 04 =50000;!wait 0;R 0 5 =8;!wait 0;W 0 0 =10000;!wait 0;"
	    "R 0 3 =8;!wait 0;W 0 0 =10000;!req 5",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> HEADERS 5\n> SETTINGS ack\n> DATA 1 16384\n> DATA 1 16384\n"
	    "> DATA 1 7232 end\n> DATA 3 16384\n> DATA 3 9151\n"
	    "lost 5 CANCEL, the server reset the stream\n> DATA 3 10000\n"
	    "lost 3 CANCEL, the server reset the stream\n> HEADERS 7\n"
	    "> DATA 7 5 end\n"),
	FRESH("6.9: the last waiting request goes, another comes",
	    "S 0 0 00 04 =0;!req 40000;!req 40000;!req 9;!wait 0;"
	    "S 0 0 00 04 =50000;!cancel 5;!wait 0;W 0 3 =1;!wait 0;W 0 0 =5000;"
	    "!cancel 3;!wait 0;W 0 0 =1;!req 9;!wait 0;W 0 0 =10000",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> HEADERS 5\n> SETTINGS ack\n> DATA 1 16384\n> DATA 1 16384\n"
	    "> DATA 1 7232 end\n> DATA 3 16384\n> DATA 3 9151\n"
	    "> RST_STREAM 5 CANCEL\n> DATA 3 5000\n> RST_STREAM 3 CANCEL\n"
	    "> HEADERS 7\n> DATA 7 1\n> DATA 7 8 end\n"),
	FRESH("6.9.2: a waiting request loses its window",
	    "S 0 0 00 04 =0;!req 40000;!req 40000;!wait 0;S 0 0 00 04 =50000;"
	    "!wait 0;S 0 0 00 04 =10;!wait 0;W 0 0 =50000;!wait 0;W 0 3 =40000",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> HEADERS 3\n"
	    "> SETTINGS ack\n> DATA 1 16384\n> DATA 1 16384\n"
	    "> DATA 1 7232 end\n> DATA 3 16384\n> DATA 3 9151\n> SETTINGS ack\n"
	    "> DATA 3 14465 end\n"),
	CASE("6.9: windows opened byte by byte",
	    "!req 65528;!req 4;!capacity;!wait 0;W 0 0 =1;!wait 0;W 0 0 "
	    "=1;!wait 0;"
	    "W 0 0 =1;!capacity",
	    "> HEADERS 7\n> DATA 7 16384\n> DATA 7 16384\n> DATA 7 16384\n"
	    "> DATA 7 16376 end\n> HEADERS 9\n> DATA 9 1\ncapacity 0 open 5\n"
	    "> DATA 9 1\n> DATA 9 1\n> DATA 9 1 end\ncapacity 0 open 5\n"),
	FRESH("6.9: a stream's window opened byte by byte",
	    "S 0 0 00 04 =0;!req 3;!wait 0;W 0 1 =1;!wait 0;W 0 1 =1;!wait 0;"
	    "W 0 1 =1;!wait 0;H 5 1 88",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> DATA 1 1\n"
	    "> DATA 1 1\n> DATA 1 1 end\ndone 1 200\n"),
	FRESH("4.2: a body in frames of 16384 bytes",
	    "S 0 0 00 04 =200000 00 05 =1000000;!wait 0;W 0 0 =100000;"
	    "!req 50000",
	    "ready\n> SETTINGS\n> SETTINGS ack\n> HEADERS 1\n> DATA 1 16384\n"
	    "> DATA 1 16384\n> DATA 1 16384\n> DATA 1 848 end\n"),
	CASE("6.9.1: windows are given back",
	    "H 4 1 8d;D 0 1 *16384;H 4 3 8d;D 0 3 *16383;D 0 1 *1;D 1 3 *16384",
	    "done 3 404 (1024 bytes)\n> WINDOW_UPDATE 32768\n"),
	CASE("6.9.1: padding counts",
	    "H 4 1 8d;H 4 3 8d;D 8 1 ff *16383;D 8 3 ff *16383",
	    "> WINDOW_UPDATE 32768\n"),
	CASE("6.9.1: data on a cancelled stream counts",
	    "!cancel 1;2x D 0 1 *16384",
	    "> RST_STREAM 1 CANCEL\n> WINDOW_UPDATE 32768\n"),

	/* --- the connection preface --- */
	FRESH("3.4: PING instead of SETTINGS", "I 0 0 *8",
	    "error PROTOCOL_ERROR: the server does not begin with SETTINGS\n"
	    "> SETTINGS\n> GOAWAY PROTOCOL_ERROR\n"),
	FRESH("3.4: acknowledgement instead of SETTINGS", "S 1 0",
	    "error PROTOCOL_ERROR: the server does not begin with SETTINGS\n"
	    "> SETTINGS\n> GOAWAY PROTOCOL_ERROR\n"),
	FRESH("3.4: HTTP/1.1", "RAW 'HTTP/1.1 400 Bad Request' 0d0a 0d0a",
	    "error PROTOCOL_ERROR: the server speaks HTTP/1.1 on this port, "
	    "not HTTP/2\n"
	    "> SETTINGS\n> GOAWAY PROTOCOL_ERROR\n"),
	FRESH("3.4: another protocol", "RAW '220 mail.example.com ESMTP' 0d0a",
	    "error PROTOCOL_ERROR: the server does not begin with SETTINGS\n"
	    "> SETTINGS\n> GOAWAY PROTOCOL_ERROR\n"),
	FRESH("3.4: no request before SETTINGS", "!req 2;!capacity",
	    "> SETTINGS\nrefused\ncapacity 0 open 0\n"),
	FRESH("5.1.2: MAX_CONCURRENT_STREAMS 0, then 1",
	    "S 0 0 00 03 =0;!req 2;S 0 0 00 03 =1;!req 2;!req 2;H 5 1 "
	    "88;!capacity",
	    "ready\n> SETTINGS\n> SETTINGS ack\nrefused\n> SETTINGS ack\n"
	    "> HEADERS 1\n> DATA 1 2 end\nrefused\ndone 1 200\ncapacity 1 open "
	    "0\n"),
	CASE("5.1.2: MAX_CONCURRENT_STREAMS below what is open",
	    "S 0 0 00 03 =2;!capacity;H 5 1 88;!capacity;H 5 3 88;!capacity",
	    "> SETTINGS ack\ncapacity 0 open 3\ndone 1 200\ncapacity 0 open 2\n"
	    "done 3 200\ncapacity 1 open 1\n"),

	/* --- frames of a wrong size or in a wrong place --- */
	CASE("4.2: a frame over 16384 bytes", "X 0 0 *16385",
	    "error FRAME_SIZE_ERROR: a frame of 16385 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.1: DATA on stream 0", "D 0 0 'x'",
	    "error PROTOCOL_ERROR: DATA on stream 0\n> GOAWAY "
	    "PROTOCOL_ERROR\n"),
	CASE("6.1: padding without a length", "H 4 1 8d;D 8 1",
	    "error FRAME_SIZE_ERROR: padding is missing\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.1: padding as long as its frame", "H 4 1 8d;D 8 1 05 *4",
	    "error PROTOCOL_ERROR: padding is longer than its frame\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: HEADERS on stream 0", "H 5 0 88",
	    "error PROTOCOL_ERROR: HEADERS on stream 0\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: HEADERS padded beyond its end", "H d 1 04 88 *2",
	    "error PROTOCOL_ERROR: padding is longer than its frame\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: HEADERS too short for its priority", "H 25 1 =1",
	    "error FRAME_SIZE_ERROR: HEADERS is too short for its priority\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.2: padding eats the priority", "H 2d 1 05 =1 10 88",
	    "error PROTOCOL_ERROR: HEADERS is too short for its priority\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.3: PRIORITY on stream 0", "P 0 0 =0 10",
	    "error PROTOCOL_ERROR: PRIORITY on stream 0\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.3: PRIORITY of 4 bytes", "P 0 1 =0",
	    "error FRAME_SIZE_ERROR: PRIORITY of 4 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.4: RST_STREAM on stream 0", "R 0 0 =0",
	    "error PROTOCOL_ERROR: RST_STREAM on stream 0\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.4: RST_STREAM of 5 bytes", "R 0 1 =0 00",
	    "error FRAME_SIZE_ERROR: RST_STREAM of 5 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.4: RST_STREAM on an idle stream", "R 0 7 =0",
	    "error PROTOCOL_ERROR: RST_STREAM on idle stream 7\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.5: SETTINGS on a stream", "S 0 1",
	    "error PROTOCOL_ERROR: SETTINGS on stream 1\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.5: SETTINGS of 5 bytes", "S 0 0 *5",
	    "error FRAME_SIZE_ERROR: SETTINGS of 5 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.5: acknowledgement with content", "S 1 0 00 03 =1",
	    "error FRAME_SIZE_ERROR: SETTINGS of 6 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.5.2: a server enables push", "S 0 0 00 02 =1",
	    "error PROTOCOL_ERROR: a server enables push\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.5.2: ENABLE_PUSH is 2", "S 0 0 00 02 =2",
	    "error PROTOCOL_ERROR: a server enables push\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.5.2: INITIAL_WINDOW_SIZE 2^31", "S 0 0 00 04 =2147483648",
	    "error FLOW_CONTROL_ERROR: INITIAL_WINDOW_SIZE is too large\n"
	    "> GOAWAY FLOW_CONTROL_ERROR\n"),
	CASE("6.5.2: MAX_FRAME_SIZE 16383", "S 0 0 00 05 =16383",
	    "error PROTOCOL_ERROR: MAX_FRAME_SIZE is out of range\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.5.2: MAX_FRAME_SIZE 2^24", "S 0 0 00 05 =16777216",
	    "error PROTOCOL_ERROR: MAX_FRAME_SIZE is out of range\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.6: PUSH_PROMISE", "U 4 1 =2 88",
	    "error PROTOCOL_ERROR: PUSH_PROMISE although push is disabled\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.7: PING on a stream", "I 0 1 *8",
	    "error PROTOCOL_ERROR: PING on stream 1\n> GOAWAY "
	    "PROTOCOL_ERROR\n"),
	CASE("6.7: PING of 7 bytes", "I 0 0 *7",
	    "error FRAME_SIZE_ERROR: PING of 7 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.8: GOAWAY on a stream", "G 0 1 *8",
	    "error PROTOCOL_ERROR: GOAWAY on stream 1\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.8: GOAWAY of 7 bytes", "G 0 0 *7",
	    "error FRAME_SIZE_ERROR: GOAWAY of 7 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.8: GOAWAY raises its last stream", "G 0 0 =1 =0;G 0 0 =3 =0",
	    "unprocessed 3 NO_ERROR, the server closes the connection\n"
	    "unprocessed 5 NO_ERROR, the server closes the connection\n"
	    "goaway NO_ERROR \n"
	    "error PROTOCOL_ERROR: GOAWAY raises its last stream\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.9: WINDOW_UPDATE of 5 bytes", "W 0 0 =1 00",
	    "error FRAME_SIZE_ERROR: WINDOW_UPDATE of 5 bytes\n"
	    "> GOAWAY FRAME_SIZE_ERROR\n"),
	CASE("6.9: WINDOW_UPDATE of 0 on the connection", "W 0 0 =0",
	    "error PROTOCOL_ERROR: WINDOW_UPDATE of 0\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.9: WINDOW_UPDATE of 0 on a stream", "W 0 1 =0;H 5 3 88",
	    "lost 1 PROTOCOL_ERROR, WINDOW_UPDATE of 0\ndone 3 200\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("6.9: WINDOW_UPDATE on an idle stream", "W 0 7 =1",
	    "error PROTOCOL_ERROR: WINDOW_UPDATE on idle stream 7\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.9.1: the connection's window overflows", "W 0 0 =2147483647",
	    "error FLOW_CONTROL_ERROR: WINDOW_UPDATE makes the window "
	    "overflow\n"
	    "> GOAWAY FLOW_CONTROL_ERROR\n"),
	CASE("6.9.1: a stream's window overflows", "W 0 1 =2147483647;H 5 3 88",
	    "lost 1 FLOW_CONTROL_ERROR, WINDOW_UPDATE makes the window "
	    "overflow\n"
	    "done 3 200\n> RST_STREAM 1 FLOW_CONTROL_ERROR\n"),
	CASE("6.9.2: SETTINGS make a window overflow",
	    "W 0 1 =2147400000;S 0 0 00 04 =2147483647",
	    "error FLOW_CONTROL_ERROR: SETTINGS make a window overflow\n"
	    "> GOAWAY FLOW_CONTROL_ERROR\n"),
	CASE("6.10: CONTINUATION of nothing", "C 4 1 88",
	    "error PROTOCOL_ERROR: CONTINUATION without a header block\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.10: CONTINUATION after a whole block", "H 4 1 88;C 4 1",
	    "error PROTOCOL_ERROR: CONTINUATION without a header block\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.10: CONTINUATION on stream 0", "H 1 1;C 4 0 88",
	    "error PROTOCOL_ERROR: a header block is interrupted\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.10: CONTINUATION of another stream", "H 1 1;C 4 3 88",
	    "error PROTOCOL_ERROR: a header block is interrupted\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: a block is interrupted by DATA", "H 0 1 88;D 1 1",
	    "error PROTOCOL_ERROR: a header block is interrupted\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: a block is interrupted by an unknown frame",
	    "H 0 1 88;X 0 1",
	    "error PROTOCOL_ERROR: a header block is interrupted\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("6.2: a block is interrupted by PING", "H 0 1 88;I 0 0 *8",
	    "error PROTOCOL_ERROR: a header block is interrupted\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),

	/* --- streams in a wrong state --- */
	CASE("5.1: DATA on an idle stream", "D 0 7 'x'",
	    "error PROTOCOL_ERROR: DATA on idle stream 7\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("5.1: HEADERS on an idle stream", "H 5 7 88",
	    "error PROTOCOL_ERROR: HEADERS on idle stream 7\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("5.1.1: HEADERS on a stream of the server's", "H 5 2 88",
	    "error PROTOCOL_ERROR: HEADERS on idle stream 2\n"
	    "> GOAWAY PROTOCOL_ERROR\n"),
	CASE("5.1: HEADERS after the end", "H 5 1 88;H 5 1 88",
	    "done 1 200\nerror STREAM_CLOSED: HEADERS on closed stream 1\n"
	    "> GOAWAY STREAM_CLOSED\n"),
	CASE("5.1: DATA after the end", "H 5 1 88;D 0 1 'x'",
	    "done 1 200\nerror STREAM_CLOSED: DATA on closed stream 1\n"
	    "> GOAWAY STREAM_CLOSED\n"),
	CASE("5.1: DATA after the server's reset", "R 0 1 =8;D 0 1 'x'",
	    "lost 1 CANCEL, the server reset the stream\n"
	    "error STREAM_CLOSED: DATA on closed stream 1\n"
	    "> GOAWAY STREAM_CLOSED\n"),
	CASE("6.8: an answer above GOAWAY's last stream",
	    "G 0 0 =1 =0;H 5 3 88",
	    "unprocessed 3 NO_ERROR, the server closes the connection\n"
	    "unprocessed 5 NO_ERROR, the server closes the connection\n"
	    "goaway NO_ERROR \n"
	    "error STREAM_CLOSED: HEADERS on closed stream 3\n"
	    "> GOAWAY STREAM_CLOSED\n"),

	/* --- malformed responses are no success --- */
	CASE("8.3.2: no :status", "H 5 1 [server: x]",
	    "lost 1 PROTOCOL_ERROR, :status is missing\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: an empty block", "H 5 1",
	    "lost 1 PROTOCOL_ERROR, :status is missing\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3: :status twice", "H 5 1 88 88",
	    "lost 1 PROTOCOL_ERROR, :status is repeated\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3: :status after a field", "H 5 1 [server: x] 88",
	    "lost 1 PROTOCOL_ERROR, :status is missing\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3: :status again after a field", "H 5 1 88 [server: x] 88",
	    "header 1 server: x\n"
	    "lost 1 PROTOCOL_ERROR, :status is not at the beginning\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3: :status with other pseudo-headers", "H 5 1 88 [:path: /]",
	    "lost 1 PROTOCOL_ERROR, an unknown pseudo-header\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status of two digits", "H 5 1 [:status: 20]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status of four digits", "H 5 1 [:status: 2000]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status with letters", "H 5 1 [:status: 2x0]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status with a sign", "H 5 1 [:status: +20]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status 000", "H 5 1 [:status: 000]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status 600", "H 5 1 [:status: 600]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.3.2: :status empty", "H 5 1 08 00",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.6: 101", "H 4 1 [:status: 101]",
	    "lost 1 PROTOCOL_ERROR, :status is not a status\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1: an interim response ends the stream", "H 5 1 [:status: 100]",
	    "lost 1 PROTOCOL_ERROR, an interim response ends the stream\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: an upper-case name", "H 5 1 88 [Server: x]",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: a blank in a name", "H 5 1 88 [a b: x]",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: a colon in a name", "H 5 1 88 00 03 'a:b' 01 'x'",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: a byte over 0x7e in a name", "H 5 1 88 00 01 80 01 'x'",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: an empty name", "H 5 1 88 00 00 01 'x'",
	    "lost 1 PROTOCOL_ERROR, a header has no name\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: NUL in a value", "H 5 1 88 00 01 'a' 01 00",
	    "lost 1 PROTOCOL_ERROR, a header value has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: line feed in a value", "H 5 1 88 00 01 'a' 03 'b' 0a 'c'",
	    "lost 1 PROTOCOL_ERROR, a header value has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: a value begins with a blank", "H 5 1 88 00 01 'a' 02 ' b'",
	    "lost 1 PROTOCOL_ERROR, a header value begins or ends with a "
	    "blank\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.1: a value ends with a tab", "H 5 1 88 00 01 'a' 02 'b' 09",
	    "lost 1 PROTOCOL_ERROR, a header value begins or ends with a "
	    "blank\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: connection", "H 5 1 88 [connection: close]",
	    "lost 1 PROTOCOL_ERROR, a header field is specific to HTTP/1.1\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: keep-alive", "H 5 1 88 [keep-alive: x]",
	    "lost 1 PROTOCOL_ERROR, a header field is specific to HTTP/1.1\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: proxy-connection", "H 5 1 88 [proxy-connection: x]",
	    "lost 1 PROTOCOL_ERROR, a header field is specific to HTTP/1.1\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: transfer-encoding",
	    "H 5 1 88 [transfer-encoding: chunked]",
	    "lost 1 PROTOCOL_ERROR, a header field is specific to HTTP/1.1\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: upgrade", "H 5 1 88 [upgrade: h2c]",
	    "lost 1 PROTOCOL_ERROR, a header field is specific to HTTP/1.1\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.2.2: te", "H 5 1 88 [te: gzip]",
	    "lost 1 PROTOCOL_ERROR, te is not \"trailers\"\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1: DATA before HEADERS", "D 1 1 'x';H 5 3 88",
	    "lost 1 PROTOCOL_ERROR, data comes before headers\ndone 3 200\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1: DATA after an interim response",
	    "H 4 1 [:status: 100];D 1 1 'x'",
	    "lost 1 PROTOCOL_ERROR, data comes before headers\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1: trailers without END_STREAM", "H 4 1 88;H 4 1 [a: b]",
	    "lost 1 PROTOCOL_ERROR, headers follow that are neither first nor "
	    "last\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1: pseudo-header in trailers", "H 4 1 88;H 5 1 88",
	    "lost 1 PROTOCOL_ERROR, a pseudo-header is in the trailers\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length, no data", "H 5 1 88 [content-length: 4]",
	    "header 1 content-length: 4\n"
	    "lost 1 PROTOCOL_ERROR, less data than content-length\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length, too little",
	    "H 4 1 88 [content-length: 4];D 1 1 'abc'",
	    "header 1 content-length: 4\n"
	    "lost 1 PROTOCOL_ERROR, less data than content-length abc\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length, too little, trailers",
	    "H 4 1 88 [content-length: 4];D 0 1 'abc';H 5 1 [a: b]",
	    "header 1 content-length: 4\n"
	    "lost 1 PROTOCOL_ERROR, less data than content-length abc\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length, too much",
	    "H 4 1 88 [content-length: 4];D 0 1 'abcde'",
	    "header 1 content-length: 4\n"
	    "lost 1 PROTOCOL_ERROR, more data than content-length\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: two content-lengths",
	    "H 4 1 88 [content-length: 4] [content-length: 5]",
	    "header 1 content-length: 4\n"
	    "lost 1 PROTOCOL_ERROR, content-length is repeated\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length empty", "H 4 1 88 0f 0d 00",
	    "lost 1 PROTOCOL_ERROR, content-length is not a number\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length negative", "H 4 1 88 [content-length: -1]",
	    "lost 1 PROTOCOL_ERROR, content-length is not a number\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: content-length beyond 64 bits",
	    "H 4 1 88 [content-length: 99999999999999999999]",
	    "lost 1 PROTOCOL_ERROR, content-length is not a number\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: data with 204", "H 4 1 89;D 1 1 'x'",
	    "lost 1 PROTOCOL_ERROR, data where there can be none\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("8.1.1: malformed in CONTINUATION", "H 1 1 88;C 4 1 [X: y]",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "> RST_STREAM 1 PROTOCOL_ERROR\n"),

	/* --- header compression --- */
	CASE("4.3: an index in neither table", "H 5 1 be",
	    "error COMPRESSION_ERROR: an index is in neither table\n"
	    "> GOAWAY COMPRESSION_ERROR\n"),
	CASE("4.3: a Huffman code with EOS", "H 5 1 00 84 ff ff ff ff 00",
	    "error COMPRESSION_ERROR: a string has a bad Huffman code\n"
	    "> GOAWAY COMPRESSION_ERROR\n"),
	CASE("4.3: a block that is cut short", "H 5 1 88 00 05 'ab'",
	    "error COMPRESSION_ERROR: a string is cut short\n"
	    "> GOAWAY COMPRESSION_ERROR\n"),
	CASE("4.3: a table size above ours", "H 5 1 3f e2 1f 88",
	    "error COMPRESSION_ERROR: a table size is above the announced one\n"
	    "> GOAWAY COMPRESSION_ERROR\n"),
	CASE("4.3: the table stays in step on a cancelled stream",
	    "!cancel 1;H 5 1 88 40 01 'a' 01 'b';H 5 3 88 be",
	    "> RST_STREAM 1 CANCEL\nheader 3 a: b\ndone 3 200\n"),
	CASE("4.3: the table stays in step after a malformed one",
	    "H 5 1 [X: y] 40 01 'a' 01 'b';H 5 3 88 be",
	    "lost 1 PROTOCOL_ERROR, a header name has a forbidden character\n"
	    "header 3 a: b\ndone 3 200\n> RST_STREAM 1 PROTOCOL_ERROR\n"),
	CASE("4.3: HEADER_TABLE_SIZE 0 and back",
	    "S 0 0 00 01 =0 00 01 =4096;!req 2;!req 2",
	    "> SETTINGS ack\n> HEADERS 7\n> DATA 7 2 end\n> HEADERS 9\n"
	    "> DATA 9 2 end\n"),

	/* --- abuse --- */
	CASE("10.5.1: a header list over 16384 bytes",
	    "H 1 1 88 40 01 'a' 7f 81 7e ~16256;C 4 1 00 01 'b' 7f 00 ~127;"
	    "H 5 3 88",
	    "error ENHANCE_YOUR_CALM: a header block is over 16384 bytes\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5.1: a list bomb of indices",
	    "H 0 1 88 40 01 'a' 7f 81 1e ~3968;C 4 1 be be be be be be;"
	    "H 5 3 88 be",
	    "header 1 a: (3968 bytes)\nheader 1 a: (3968 bytes)\n"
	    "header 1 a: (3968 bytes)\nheader 1 a: (3968 bytes)\n"
	    "lost 1 ENHANCE_YOUR_CALM, the header list is too large\n"
	    "header 3 a: (3968 bytes)\ndone 3 200\n"
	    "> RST_STREAM 1 ENHANCE_YOUR_CALM\n"),
	CASE("10.5.1: CONTINUATION without end", "H 0 1 88;40x C 0 1 *1000",
	    "error ENHANCE_YOUR_CALM: a header block is over 16384 bytes\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: empty CONTINUATION without end", "H 0 1 88;1100x C 0 1",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of PING", "!quiet;1100x I 0 0 *8",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"),
	CASE("10.5: as many PINGs in time are none",
	    "900x I 1 0 *8;!wait 10000;900x I 1 0 *8;H 5 1 88", "done 1 200\n"),
	CASE("10.5: a flood of SETTINGS", "1100x S 1 0",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of PRIORITY", "1100x P 0 1 =0 10",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of WINDOW_UPDATE", "1100x W 0 1 =1",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of RST_STREAM", "H 5 1 88;1100x R 0 1 =0",
	    "done 1 200\n"
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of empty DATA", "H 4 1 88;1100x D 0 1",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of padding", "H 4 1 88;1100x D 8 1 10 *16",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of interim responses", "1100x H 4 1 [:status: 103]",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of unknown frames", "1100x X 0 0",
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"
	    "> GOAWAY ENHANCE_YOUR_CALM\n"),
	CASE("10.5: a flood of DATA on a cancelled stream",
	    "!cancel 1;!quiet;1100x D 0 1 *1000",
	    "> RST_STREAM 1 CANCEL\n"
	    "error ENHANCE_YOUR_CALM: the server floods us with frames\n"),
	CASE("10.5: a large body is no flood",
	    "960x I 1 0 *8;H 4 1 88;120x D 0 1 *256;D 1 1;H 5 3 88",
	    "done 1 200 (1024 bytes)\ndone 3 200\n"),
	FRESH("10.5: a busy server is no flood",
	    "S 0 0;!reqs 100;W 0 1 =1;400x W 0 0 =1;!capacity;!reqs 0;W 0 3 =1",
	    "ready\n> SETTINGS\n> SETTINGS ack\ncapacity 0 open 100\n"),
	FRESH("10.5: unread output is no memory",
	    "S 0 0;!stall;900x I 0 0 *8;!wait 10000;900x I 0 0 *8;!wait 10000;"
	    "900x I 0 0 *8;!wait 10000;900x I 0 0 *8;!wait 10000;900x I 0 0 *8;"
	    "!wait 10000;900x I 0 0 *8;!wait 10000;900x I 0 0 *8;!wait 10000;"
	    "900x I 0 0 *8;!wait 10000;900x I 0 0 *8;!wait 10000;H 5 1 88",
	    "ready\n> SETTINGS\n> SETTINGS ack\n"
	    "error ENHANCE_YOUR_CALM: the server does not read what we send\n"),
	CASE("10.5: while much output waits there is refused",
	    "!stall;!quiet;!req 60000;!req 9000;!capacity;!req "
	    "2;!read;!capacity;"
	    "W 0 0 =9000;W 0 7 =9000;!capacity;H 5 7 88;H 5 9 88",
	    "capacity 0 open 5\nrefused\ncapacity 0 open 5\ncapacity 95 open "
	    "5\n"
	    "done 7 200\ndone 9 200\n"),
	CASE("6.5.2: headers too large for one frame are refused",
	    "!big;H 5 1 88", "done 1 200\n"),
};

#endif
